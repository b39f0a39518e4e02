//! Waiting until the breaker is ready.

use std::{
    sync::Arc,
    task::{Poll, Wake, Waker},
};

use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_sync::{
    BreakerPermit, BreakerState, CircuitBreaker, CircuitBreakerBuilder, ReadyError,
};
use tokio::time::timeout;

use crate::support::{Boxed, EPOCH, WakeCount, millis, poll, poll_with};

fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(millis(1_000))
        .clock(Arc::new(ManualClock::ticking(EPOCH)))
}

fn fail(breaker: &CircuitBreaker) {
    let _ = breaker.try_acquire().unwrap().failure();
}

async fn probe(breaker: &CircuitBreaker) -> BreakerPermit<'_> {
    fail(breaker);
    breaker.until_ready().await.unwrap();
    breaker.try_acquire().unwrap()
}

#[tokio::test(start_paused = true)]
async fn closed_breaker_is_ready_at_the_first_poll() {
    let breaker = builder().build().unwrap();
    let mut ready: Boxed<'_, _> = Box::pin(breaker.until_ready());
    assert_eq!(poll(&mut ready), Poll::Ready(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn open_breaker_becomes_ready_on_time_without_any_call() {
    let breaker = builder().build().unwrap();
    fail(&breaker);
    let start = SystemClock.monotonic();
    breaker.until_ready().await.unwrap();
    assert_eq!(start.elapsed(), millis(1_000));
    let seen = breaker.snapshot();
    assert_eq!((seen.state, seen.rejected), (BreakerState::HalfOpen, 0));
}

#[tokio::test(start_paused = true)]
async fn waiter_goes_on_when_a_probe_gives_up_its_slot() {
    let breaker = builder().build().unwrap();
    let permit = probe(&breaker).await;
    let mut waits: Vec<Boxed<'_, _>> = (0..3)
        .map(|_| Box::pin(breaker.until_ready()) as _)
        .collect();
    for wait in &mut waits {
        assert!(poll(wait).is_pending());
    }
    drop(permit);
    assert_eq!(poll(&mut waits[0]), Poll::Ready(Ok(())));
    let taken = breaker.try_acquire().unwrap();
    assert!(poll(&mut waits[1]).is_pending(), "the slot is taken");
    assert_eq!(breaker.snapshot().waiting, 1);
    let _ = taken.success();
    for wait in &mut waits[1..] {
        assert_eq!(poll(wait), Poll::Ready(Ok(())));
    }
}

#[tokio::test(start_paused = true)]
async fn waiter_behind_a_probe_that_fails_waits_for_the_open_time_and_no_longer() {
    // The waiter's timer is set to the end of the half-open time, which is later.
    let breaker = builder().half_open_for(millis(60_000)).build().unwrap();
    let permit = probe(&breaker).await;
    let start = SystemClock.monotonic();
    let (outcome, ()) = tokio::join!(breaker.until_ready(), async {
        tokio::time::sleep(millis(500)).await;
        let _ = permit.failure();
    });
    outcome.unwrap();
    assert_eq!(start.elapsed(), millis(1_500));
}

#[tokio::test(start_paused = true)]
async fn waiter_behind_a_probe_that_never_returns_waits_for_its_deadline_and_the_open_time() {
    let breaker = builder().half_open_for(millis(300)).build().unwrap();
    let _lost = probe(&breaker).await;
    let start = SystemClock.monotonic();
    breaker.until_ready().await.unwrap();
    assert_eq!(start.elapsed(), millis(1_300));
    assert_eq!(breaker.snapshot().opened, 2);
}

#[tokio::test(start_paused = true)]
async fn isolated_breaker_is_ready_when_it_is_closed_and_not_before() {
    let breaker = builder().build().unwrap();
    breaker.isolate();
    let mut wait: Boxed<'_, _> = Box::pin(breaker.until_ready());
    assert!(timeout(millis(1_000_000), &mut wait).await.is_err());
    breaker.close();
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn waiter_stays_when_the_breaker_is_isolated_meanwhile() {
    let breaker = builder().build().unwrap();
    fail(&breaker);
    let mut wait: Boxed<'_, _> = Box::pin(breaker.until_ready());
    assert!(poll(&mut wait).is_pending());
    breaker.isolate();
    assert!(timeout(millis(1_000_000), &mut wait).await.is_err());
    breaker.close();
    wait.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wait_ends_with_its_time_and_says_when_to_ask_again() {
    let breaker = builder().build().unwrap();
    fail(&breaker);
    let error = breaker.until_ready_timeout(millis(400)).await.unwrap_err();
    let (waited, retry_after) = (millis(400), Some(millis(600)));
    assert_eq!(
        error,
        ReadyError::Timeout {
            waited,
            retry_after
        }
    );
    assert_eq!(breaker.snapshot().waiting, 0);
    assert_eq!(breaker.until_ready_timeout(millis(600)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_more_than_may_wait_is_refused() {
    let breaker = builder().max_waiters(1).build().unwrap();
    breaker.isolate();
    let mut first: Boxed<'_, _> = Box::pin(breaker.until_ready());
    assert!(poll(&mut first).is_pending());
    let full = ReadyError::QueueFull { max_waiters: 1 };
    assert_eq!(breaker.until_ready().await, Err(full));
    drop(first);
    let mut second: Boxed<'_, _> = Box::pin(breaker.until_ready());
    assert!(poll(&mut second).is_pending());
}

#[tokio::test(start_paused = true)]
async fn every_waiter_is_woken_once_and_none_by_calls_of_a_closed_breaker() {
    let breaker = builder().build().unwrap();
    breaker.isolate();
    let counts: Vec<_> = (0..3).map(|_| Arc::new(WakeCount::default())).collect();
    let mut waits: Vec<Boxed<'_, _>> = (0..3)
        .map(|_| Box::pin(breaker.until_ready()) as _)
        .collect();
    for (wait, count) in waits.iter_mut().zip(&counts) {
        assert!(poll_with(wait, &Waker::from(Arc::clone(count))).is_pending());
    }
    breaker.close();
    for _ in 0..10 {
        let _ = breaker.try_acquire().unwrap().success();
    }
    let woken: Vec<_> = counts.iter().map(|count| count.get()).collect();
    assert_eq!(woken, [1, 1, 1]);
}

/// Looks at the breaker whenever it is woken or dropped.
struct Looks(Arc<CircuitBreaker>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let _ = self.0.snapshot();
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        let _ = self.0.snapshot();
    }
}

#[tokio::test(start_paused = true)]
async fn wakers_run_while_the_breaker_is_not_locked() {
    let breaker = Arc::new(builder().build().unwrap());
    let waker = || Waker::from(Arc::new(Looks(Arc::clone(&breaker))));
    breaker.isolate();
    let mut changes = breaker.subscribe();
    let mut wait: Boxed<'_, _> = Box::pin(breaker.until_ready());
    let mut change: Boxed<'_, _> = Box::pin(changes.next());
    for _ in 0..2 {
        assert!(poll_with(&mut wait, &waker()).is_pending());
        assert!(poll_with(&mut change, &waker()).is_pending());
    }
    breaker.close();
    assert!(poll_with(&mut wait, &waker()).is_ready());
    assert!(poll_with(&mut change, &waker()).is_ready());
    breaker.isolate();
    let mut dropped: Boxed<'_, _> = Box::pin(breaker.until_ready());
    assert!(poll_with(&mut dropped, &waker()).is_pending());
    drop(dropped);
}

#[tokio::test(start_paused = true)]
async fn waiters_share_the_probes_of_a_breaker_that_recovers() {
    let breaker = builder().half_open_permits(2).build().unwrap();
    fail(&breaker);
    let acquire = async || {
        loop {
            breaker.until_ready().await.unwrap();
            if let Ok(permit) = breaker.try_acquire() {
                tokio::time::sleep(millis(10)).await;
                assert!(breaker.snapshot().half_open_pending <= 2);
                return permit.success();
            }
        }
    };
    let all = async { tokio::join!(acquire(), acquire(), acquire(), acquire(), acquire()) };
    timeout(millis(1_100), all).await.unwrap();
    let seen = breaker.snapshot();
    assert_eq!((seen.state, seen.waiting), (BreakerState::Closed, 0));
}
