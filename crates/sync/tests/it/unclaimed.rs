//! Grants to futures that are not polled.

use std::{
    sync::Arc,
    task::{Poll, Waker},
};

use proptest::prelude::*;
use steadfast_clock::ManualClock;
use steadfast_sync::{AsyncLock, AsyncLockBuilder, LockError, LockGuard, Registry, Semaphore};

use crate::support::{Boxed, EPOCH, WakeCount, Warnings, look, millis, poll, poll_with};

type Wait<'a> = Boxed<'a, Result<LockGuard<'a, u8>, LockError>>;

/// A future that waits in the queue.
fn queued(lock: &AsyncLock<u8>) -> Wait<'_> {
    let mut wait: Wait<'_> = Box::pin(lock.lock(0));
    assert!(poll(&mut wait).is_pending());
    wait
}

fn builder(registry: &Registry, clock: ManualClock) -> AsyncLockBuilder<u8> {
    let builder = AsyncLock::builder().name("parked").registry(registry);
    builder.clock(Arc::new(clock))
}

#[tokio::test(start_paused = true)]
async fn waiter_behind_reports_a_parked_one_once_after_the_grace() {
    let (registry, clock) = (Registry::new(), ManualClock::ticking(EPOCH));
    let lock = builder(&registry, clock).grace(millis(50)).build().unwrap();
    let warnings = Warnings::record();
    let held = lock.lock(0).await.unwrap();
    let parked = queued(&lock);
    let parked_at = lock.snapshot().keys[0].queue[0].caller;
    let behind = lock.lock_timeout(0, millis(1_000));
    let (outcome, ()) = tokio::join!(behind, async {
        tokio::time::sleep(millis(30)).await;
        drop(held);
        tokio::time::sleep(millis(49)).await;
        assert!(warnings.take().is_empty());
        tokio::time::sleep(millis(3)).await;
        let warning = warnings.take_one();
        for part in [
            "name=\"parked\"",
            &parked_at.to_string(),
            "revoked=false",
            "waiting=1",
        ] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
    });
    assert!(matches!(outcome, Err(LockError::Timeout { .. })));
    assert!(warnings.take_one().contains("lock not acquired"));
    drop(parked);
    assert!(!lock.is_locked(&0));
}

#[tokio::test(start_paused = true)]
async fn revoked_grant_goes_to_the_next_and_comes_back_in_turn() {
    let (registry, clock) = (Registry::new(), ManualClock::ticking(EPOCH));
    let builder = builder(&registry, clock).grace(millis(50));
    let lock = builder.revoke_unclaimed().build().unwrap();
    let warnings = Warnings::record();
    let held = lock.lock(0).await.unwrap();
    let mut parked = queued(&lock);
    drop(held);
    let next = lock.lock_timeout(0, millis(1_000)).await.unwrap();
    assert!(warnings.take_one().contains("revoked=true"));

    // It has a place behind those who wait, and is granted the key again.
    let last = queued(&lock);
    assert_eq!(lock.waiters(&0), 2);
    assert!(poll(&mut parked).is_pending());
    drop(next);
    let Poll::Ready(Ok(held)) = poll(&mut parked) else {
        panic!("the parked waiter was forgotten");
    };
    drop((held, last));
    assert!(!lock.is_locked(&0));
}

#[tokio::test(start_paused = true)]
async fn revoked_waiter_goes_behind_those_who_wait() {
    let (registry, clock) = (Registry::new(), ManualClock::ticking(EPOCH));
    let builder = builder(&registry, clock).grace(millis(50));
    let lock = builder.revoke_unclaimed().build().unwrap();
    let held = lock.lock(0).await.unwrap();
    let mut parked = queued(&lock);
    let (mut second, mut third) = (queued(&lock), queued(&lock));
    drop(held);
    tokio::time::sleep(millis(60)).await;
    // The third's timer finds out.
    assert!(poll(&mut third).is_pending());
    let Poll::Ready(Ok(held)) = poll(&mut second) else {
        panic!("the second was not next");
    };
    assert!(poll(&mut parked).is_pending());
    drop(held);
    let Poll::Ready(Ok(held)) = poll(&mut third) else {
        panic!("the third was not next");
    };
    drop(held);
    assert!(matches!(poll(&mut parked), Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn waiter_that_comes_late_but_before_anybody_looks_gets_its_grant() {
    let (registry, clock) = (Registry::new(), ManualClock::ticking(EPOCH));
    let builder = builder(&registry, clock).grace(millis(50));
    let lock = builder.revoke_unclaimed().build().unwrap();
    let warnings = Warnings::record();
    let held = lock.lock(0).await.unwrap();
    let (mut late, behind) = (queued(&lock), queued(&lock));
    drop(held);
    // Its own timer fires, too.
    tokio::time::sleep(millis(100)).await;
    assert!(matches!(poll(&mut late), Poll::Ready(Ok(_))));
    assert!(warnings.take().is_empty());
    drop((late, behind));
    assert!(!lock.is_locked(&0));
}

#[tokio::test]
async fn claimed_grants_are_not_revoked_however_long_they_are_held() {
    let registry = Registry::new();
    let builder = builder(&registry, ManualClock::ticking(EPOCH)).grace(millis(1));
    let lock = builder.revoke_unclaimed().build().unwrap();
    tokio::time::pause();
    let held = lock.lock(0).await.unwrap();
    let mut first = queued(&lock);
    drop(held);
    let Poll::Ready(Ok(held)) = poll(&mut first) else {
        panic!("it was not granted the key");
    };
    assert!(lock.lock_timeout(0, millis(500)).await.is_err());
    drop(held);
    assert!(!lock.is_locked(&0));
}

#[tokio::test]
async fn watch_reports_unclaimed_grants_without_grace() {
    let (registry, clock) = (Registry::new(), Arc::new(ManualClock::new(EPOCH)));
    let builder = AsyncLock::builder().name("parked").registry(&registry);
    let lock = builder.clock(Arc::clone(&clock) as _).build().unwrap();
    let warnings = Warnings::record();
    let held = lock.try_lock(0).unwrap();
    let _parked = queued(&lock);
    drop(held);
    clock.advance(millis(999));
    look(&registry);
    assert!(warnings.take().is_empty());
    clock.advance(millis(1));
    look(&registry);
    look(&registry);
    assert!(warnings.take_one().contains("unclaimed_for=1s"));
}

#[tokio::test(start_paused = true)]
async fn revoked_permits_go_to_those_behind_and_their_waiter_keeps_a_place() {
    let (registry, clock) = (Registry::new(), ManualClock::ticking(EPOCH));
    let builder = Semaphore::builder(4).name("parked").registry(&registry);
    let builder = builder.clock(Arc::new(clock)).grace(millis(50));
    let semaphore = builder.revoke_unclaimed().build().unwrap();
    let warnings = Warnings::record();
    let held = semaphore.acquire(4).await.unwrap();
    let mut parked: Vec<_> = (0..2).map(|_| Box::pin(semaphore.acquire(2))).collect();
    for parked in &mut parked {
        assert!(poll(parked).is_pending());
    }
    drop(held);
    assert!(
        semaphore
            .snapshot()
            .holders
            .iter()
            .all(|h| h.held_for.is_none())
    );
    let behind = semaphore.acquire_timeout(3, millis(55)).await.unwrap();
    let seen = warnings.take();
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen.iter().all(|line| line.contains("revoked=true")));
    assert_eq!((semaphore.waiting(), semaphore.available()), (2, 1));
    drop(behind);
    for parked in &mut parked {
        assert!(matches!(poll(parked), Poll::Ready(Ok(_))));
    }
    assert_eq!(semaphore.available(), 4);
}

#[tokio::test]
async fn watch_wakes_whom_a_revoked_grant_goes_to_and_the_parked_wait_goes_on() {
    let (registry, clock) = (Registry::new(), Arc::new(ManualClock::new(EPOCH)));
    let lock = AsyncLock::builder().name("parked").registry(&registry);
    let lock = lock.clock(Arc::clone(&clock) as _).grace(millis(50));
    let lock = lock.revoke_unclaimed().build().unwrap();
    let semaphore = Semaphore::builder(1).name("parked").registry(&registry);
    let semaphore = semaphore.clock(Arc::clone(&clock) as _).grace(millis(50));
    let semaphore = semaphore.revoke_unclaimed().build().unwrap();

    let held = (lock.try_lock(0).unwrap(), semaphore.try_acquire(1).unwrap());
    let parked = queued(&lock);
    let mut parked_permit = Box::pin(semaphore.acquire(1));
    assert!(poll(&mut parked_permit).is_pending());
    let woken = Arc::new(WakeCount::default());
    let waker = Waker::from(Arc::clone(&woken));
    let (mut next, mut next_permit) = (Box::pin(lock.lock(0)), Box::pin(semaphore.acquire(1)));
    assert!(poll_with(&mut next, &waker).is_pending());
    assert!(poll_with(&mut next_permit, &waker).is_pending());

    clock.advance(millis(10));
    drop(held);
    clock.advance(millis(50));
    look(&registry);
    assert_eq!(woken.get(), 2);
    let (next, next_permit) = (poll(&mut next), poll(&mut next_permit));
    assert!(matches!(
        (&next, &next_permit),
        (Poll::Ready(Ok(_)), Poll::Ready(Ok(_)))
    ));
    // The wait counts from its first poll, the grant that it lost included.
    assert_eq!(lock.inspect(&0).unwrap().longest_wait, Some(millis(60)));
    assert_eq!(semaphore.oldest_wait(), Some(millis(60)));
    drop((parked, parked_permit));
}

#[tokio::test]
async fn watch_reports_unclaimed_permits_without_grace_and_takes_none_back() {
    let (registry, clock) = (Registry::new(), Arc::new(ManualClock::new(EPOCH)));
    let builder = Semaphore::builder(1).name("parked").registry(&registry);
    let semaphore = builder.clock(Arc::clone(&clock) as _).build().unwrap();
    let warnings = Warnings::record();
    let held = semaphore.try_acquire(1).unwrap();
    let (mut parked, mut behind) = (
        Box::pin(semaphore.acquire(1)),
        Box::pin(semaphore.acquire(1)),
    );
    assert!(poll(&mut parked).is_pending() && poll(&mut behind).is_pending());
    drop(held);
    clock.advance(millis(1_000));
    look(&registry);
    look(&registry);
    assert!(warnings.take_one().contains("revoked=false"));
    assert!(poll(&mut behind).is_pending());
    assert!(matches!(poll(&mut parked), Poll::Ready(Ok(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_sequence_with_revocations_matches_the_model(
        steps in prop::collection::vec((0_u8..6, 0_usize..8), 1..120)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let (registry, clock) = (Registry::new(), Arc::new(ManualClock::new(EPOCH)));
        let builder = AsyncLock::builder().name("model").registry(&registry);
        let builder = builder.clock(Arc::clone(&clock) as _);
        let lock = builder.grace(millis(10)).revoke_unclaimed().build().unwrap();
        let mut live: Vec<(u32, Wait<'_>, Option<LockGuard<'_, u8>>)> = Vec::new();
        // The model: the first owns the key, the others wait. Since when is it unclaimed?
        let (mut order, mut granted): (Vec<u32>, _) = (Vec::new(), None);
        let (mut number, mut now) = (0, 0);
        for (action, pick) in steps {
            match action {
                0 | 1 => {
                    let mut wait: Wait<'_> = Box::pin(lock.lock(0));
                    let guard = match poll(&mut wait) {
                        Poll::Ready(guard) => Some(guard.unwrap()),
                        Poll::Pending => None,
                    };
                    prop_assert_eq!(guard.is_some(), order.is_empty());
                    order.push(number);
                    live.push((number, wait, guard));
                    number += 1;
                }
                2 if !live.is_empty() => {
                    let (dropped, ..) = live.remove(pick % live.len());
                    let first = order[0];
                    order.retain(|waiter| *waiter != dropped);
                    if first == dropped {
                        granted = (!order.is_empty()).then_some(now);
                    }
                }
                3 | 4 if !live.is_empty() => {
                    let index = pick % live.len();
                    let (polled, wait, guard) = &mut live[index];
                    if guard.is_none() {
                        let is_first = order[0] == *polled;
                        match poll(wait) {
                            Poll::Ready(held) => {
                                prop_assert!(is_first);
                                *guard = Some(held.unwrap());
                                granted = None;
                            }
                            Poll::Pending => prop_assert!(!is_first),
                        }
                    }
                }
                _ => {
                    clock.advance(millis(6));
                    now += 6;
                    look(&registry);
                    if granted.is_some_and(|since| now - since >= 10) && order.len() > 1 {
                        order.rotate_left(1);
                        granted = Some(now);
                    }
                }
            }
            prop_assert_eq!(lock.waiters(&0), order.len().saturating_sub(1));
        }
        drop(live);
        prop_assert!(!lock.is_locked(&0));
    }
}
