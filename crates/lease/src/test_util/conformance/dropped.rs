//! Calls that are dropped, after each number of polls that they take.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use super::acquire;
use crate::{Grant, LeaseLock, LockBackend};

/// After how many polls a call must have ended.
const MAX_POLLS: usize = 200;

/// How long a call that was dropped may hold up the next ones, in its times to live.
const DROPPED_FOR: u32 = 100;

const MINUTE: Duration = Duration::from_secs(60);

/// An attempt that is dropped, after whatever number of polls, leaves nobody with the lease, or a
/// lease that expires; the fences that are given out later grow.
///
/// # Cancel safety
///
/// As [`all`](super::all).
///
/// # Panics
///
/// As [`all`](super::all).
pub async fn dropped_attempt_expires(backend: &dyn LockBackend, key: &str, ttl: Duration) {
    let mut last = 0;
    for polls in 0..MAX_POLLS {
        let outcome = polled(polls, backend.try_acquire(key, "dropped", ttl)).await;
        let has_ended = outcome.is_some();
        let grant = match outcome {
            Some(Ok(Some(grant))) => grant,
            Some(Err(error)) => panic!("an attempt failed: {error}"),
            // It was dropped, or one that was dropped before has been carried out late.
            None | Some(Ok(None)) => {
                let wait = timeout(ttl * DROPPED_FOR, acquire_when_free(backend, key, ttl));
                let Ok(grant) = wait.await else {
                    panic!("an attempt dropped after {polls} polls holds the lease for good");
                };
                grant
            }
        };
        assert!(
            last < grant.fence,
            "fence {} came after {last}, and an attempt dropped after {polls} polls",
            grant.fence
        );
        last = grant.fence;
        backend.release(&grant).await.expect("a release succeeds");
        if has_ended {
            return;
        }
    }
    panic!("an attempt took more than {MAX_POLLS} polls");
}

/// A renewal that is dropped, after whatever number of polls, leaves the lease with its holder, who
/// can renew and release it at once.
///
/// # Cancel safety
///
/// As [`all`](super::all).
///
/// # Panics
///
/// As [`all`](super::all).
pub async fn dropped_renewal_extends_or_not(backend: &dyn LockBackend, key: &str) {
    for polls in 0..MAX_POLLS {
        let grant = acquire(backend, key, MINUTE).await;
        let outcome = polled(polls, backend.renew(&grant, MINUTE)).await;
        if let Some(outcome) = &outcome {
            let renewed = matches!(outcome, Ok(Some(renewed)) if renewed.fence == grant.fence);
            assert!(renewed, "a held lease was not renewed: {outcome:?}");
        }
        let again = backend.renew(&grant, MINUTE).await;
        assert!(
            matches!(again, Ok(Some(_))),
            "not renewed after a renewal was dropped after {polls} polls: {again:?}"
        );
        let other = backend.try_acquire(key, "other", MINUTE).await;
        assert!(matches!(other, Ok(None)), "two holders: {other:?}");
        backend.release(&grant).await.expect("a release succeeds");
        if outcome.is_some() {
            return;
        }
    }
    panic!("a renewal took more than {MAX_POLLS} polls");
}

/// A release that is dropped, after whatever number of polls, can be repeated at once; it never
/// frees the lease of a successor, however late it is carried out.
///
/// # Cancel safety
///
/// As [`all`](super::all).
///
/// # Panics
///
/// As [`all`](super::all).
pub async fn dropped_release_frees_or_not(backend: &dyn LockBackend, key: &str) {
    let mut last = 0;
    for polls in 0..MAX_POLLS {
        let grant = acquire(backend, key, MINUTE).await;
        assert!(last < grant.fence, "fence {} after {last}", grant.fence);
        let outcome = polled(polls, backend.release(&grant)).await;
        if let Some(outcome) = &outcome {
            assert!(outcome.is_ok(), "a release failed: {outcome:?}");
        }
        backend.release(&grant).await.expect("a release succeeds");
        let successor = acquire(backend, key, MINUTE).await;
        let other = backend.try_acquire(key, "other", MINUTE).await;
        assert!(
            matches!(other, Ok(None)),
            "a release dropped after {polls} polls freed the lease of a successor"
        );
        last = successor.fence;
        let released = backend.release(&successor).await;
        released.expect("a release succeeds");
        if outcome.is_some() {
            return;
        }
    }
    panic!("a release took more than {MAX_POLLS} polls");
}

/// A [`LeaseLock::run`] that is dropped, after whatever number of polls, while it acquires, works or
/// releases, leaves a lease that expires: nothing goes on to renew it.
///
/// # Cancel safety
///
/// As [`all`](super::all).
///
/// # Panics
///
/// As [`all`](super::all).
pub async fn dropped_run_expires(backend: Arc<dyn LockBackend>, key: &str, ttl: Duration) {
    let lock = LeaseLock::builder(Arc::clone(&backend), key, "dropped").ttl(ttl);
    let lock = lock.build().expect("sound settings");
    let mut last = 0;
    for polls in 0..MAX_POLLS {
        let work = async |_| {
            for _ in 0..3 {
                yield_now().await;
            }
        };
        // It may have lost its lease where the machine is slow, or be waiting for a lost one.
        let has_ended = polled(polls, lock.run(work)).await.is_some();
        let free = timeout(ttl * DROPPED_FOR, acquire_when_free(&*backend, key, ttl));
        let Ok(grant) = free.await else {
            panic!("a run dropped after {polls} polls holds the lease for good");
        };
        assert!(last < grant.fence, "fence {} after {last}", grant.fence);
        last = grant.fence;
        backend.release(&grant).await.expect("a release succeeds");
        if has_ended {
            return;
        }
    }
    panic!("a run took more than {MAX_POLLS} polls");
}

/// The output, unless the future is dropped after `polls` polls.
async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn acquire_when_free(backend: &dyn LockBackend, key: &str, ttl: Duration) -> Grant {
    loop {
        let outcome = backend.try_acquire(key, "suite", ttl).await;
        match outcome.expect("an attempt succeeds") {
            Some(grant) => return grant,
            None => sleep(ttl / 10).await,
        }
    }
}
