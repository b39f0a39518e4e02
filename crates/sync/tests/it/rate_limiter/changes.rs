//! Refunds, changes of the quota, and times that nobody expects.

use std::{
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{KeyedRateLimiter, Quota, RateError, RateLimiter};
use tokio::time::sleep;

use super::{queued, quota, ticking};
use crate::support::{Boxed, EPOCH, WakeCount, millis, poll, poll_with};

fn standing(quota: Quota) -> (Arc<ManualClock>, RateLimiter) {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let limiter = RateLimiter::builder(quota).clock(clock.clone());
    (clock, limiter.build().unwrap())
}

#[test]
fn refund_never_raises_the_level_above_the_burst() {
    let (clock, limiter) = standing(quota(10, 5));
    limiter.refund(3);
    assert_eq!(limiter.available(), 5);
    limiter.try_acquire(4).unwrap();
    limiter.refund(2);
    assert_eq!(limiter.available(), 3);
    limiter.refund(u32::MAX);
    assert_eq!(limiter.available(), 5);
    limiter.try_acquire(5).unwrap();
    clock.advance(millis(100));
    assert_eq!((limiter.try_acquire(1), limiter.available()), (Ok(()), 0));
}

#[tokio::test(start_paused = true)]
async fn refund_lets_a_waiter_through_at_once() {
    let limiter = ticking(quota(1, 3));
    limiter.try_acquire(3).unwrap();
    let mut wait = queued(&limiter, 2);
    let woken = Arc::new(WakeCount::default());
    assert!(poll_with(&mut wait, &Waker::from(woken.clone())).is_pending());
    limiter.refund(2);
    assert_eq!(woken.get(), 1);
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(())));
}

#[test]
fn level_stays_when_the_quota_changes() {
    let (clock, limiter) = standing(quota(10, 10));
    limiter.try_acquire(4).unwrap();
    limiter.set_quota(quota(100, 20));
    assert_eq!((limiter.available(), limiter.quota()), (6, quota(100, 20)));
    limiter.set_quota(quota(100, 3));
    assert_eq!(limiter.available(), 3);
    limiter.try_acquire(3).unwrap();
    limiter.set_quota(quota(1, 1_000));
    assert_eq!(limiter.available(), 0);
    clock.advance(millis(2_000));
    assert_eq!(limiter.available(), 2);
}

#[test]
fn changing_the_quota_to_and_fro_creates_nothing() {
    let (_clock, limiter) = standing(quota(10, 100));
    let mut taken = 0;
    for _ in 0..100 {
        for burst in [1, 100, 7, 50] {
            while limiter.try_acquire(1).is_ok() {
                taken += 1;
            }
            limiter.set_quota(quota(10, burst));
        }
    }
    assert_eq!(taken, 100);
}

#[tokio::test(start_paused = true)]
async fn sleeping_waiter_wakes_for_a_faster_quota_and_respects_a_slower_one() {
    for (new, expected) in [(quota(100, 1), 510), (quota(1, 1), 1_000)] {
        let limiter = ticking(Quota::new(2, Duration::from_secs(2)).unwrap());
        let clock = ManualClock::ticking(EPOCH);
        limiter.try_acquire(2).unwrap();
        let start = clock.monotonic();
        let change = async {
            sleep(millis(500)).await;
            limiter.set_quota(new);
        };
        let (outcome, ()) = tokio::join!(limiter.acquire(1), change);
        outcome.unwrap();
        let took = clock.monotonic() - start;
        let fits = millis(expected - 6)..=millis(expected + 2);
        assert!(fits.contains(&took), "{took:?} instead of {expected} ms");
    }
    let limiter = ticking(quota(10, 1));
    let clock = ManualClock::ticking(EPOCH);
    limiter.try_acquire(1).unwrap();
    let start = clock.monotonic();
    let change = async {
        sleep(millis(50)).await;
        limiter.set_quota(quota(1, 1));
    };
    let (outcome, ()) = tokio::join!(limiter.acquire(1), change);
    outcome.unwrap();
    let took = clock.monotonic() - start;
    assert!((millis(549)..millis(553)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn lowered_burst_refuses_waiters_that_want_more_and_keeps_the_others() {
    let limiter = ticking(quota(1, 5));
    limiter.try_acquire(5).unwrap();
    let mut waits: Vec<_> = [5, 2, 4, 1].map(|units| queued(&limiter, units)).into();
    limiter.set_quota(quota(1_000, 3));
    assert_eq!(limiter.waiting(), 2);
    let exceeds = |requested| RateError::ExceedsBurst {
        requested,
        burst: 3,
    };
    assert_eq!(poll(&mut waits[2]), Poll::Ready(Err(exceeds(4))));
    assert_eq!(poll(&mut waits[0]), Poll::Ready(Err(exceeds(5))));
    sleep(millis(5)).await;
    assert!(poll(&mut waits[3]).is_pending(), "the other comes first");
    assert_eq!(poll(&mut waits[1]), Poll::Ready(Ok(())));
    assert_eq!(poll(&mut waits[3]), Poll::Ready(Ok(())));
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn refused_waiter_that_is_dropped_leaves_the_line_alone() {
    let limiter = ticking(quota(10, 5));
    limiter.try_acquire(5).unwrap();
    let (large, small) = (queued(&limiter, 5), queued(&limiter, 1));
    limiter.set_quota(quota(10, 1));
    drop(large);
    assert_eq!(limiter.waiting(), 1);
    small.await.unwrap();
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn deadline_that_cannot_be_kept_is_refused_at_once() {
    let limiter = ticking(quota(10, 1));
    let keyed = KeyedRateLimiter::builder(quota(10, 1));
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let keyed = keyed.clock(clock.clone()).build().unwrap();
    let start = clock.monotonic();
    assert_eq!(limiter.acquire_until(1, start).await, Ok(()), "it is there");
    assert_eq!(keyed.acquire_until(&1, 1, start).await, Ok(()));
    let refused = Err(RateError::WouldExceed {
        wait: millis(100),
        timeout: millis(99),
    });
    let early = start + millis(99);
    assert_eq!(limiter.acquire_until(1, early).await, refused);
    assert_eq!(keyed.acquire_until(&1, 1, early).await, refused);
    assert_eq!(clock.monotonic(), start);
    let late = start + millis(110);
    assert_eq!(limiter.acquire_until(1, late).await, Ok(()));
    let refused = keyed.acquire_until(&1, 1, start).await;
    assert_eq!(refused, Ok(()), "earned meanwhile");
}

#[tokio::test(start_paused = true)]
async fn deadline_that_a_slower_quota_breaks_ends_the_wait() {
    let limiter = ticking(quota(10, 1));
    limiter.try_acquire(1).unwrap();
    let wait = limiter.acquire_timeout(1, millis(150));
    let change = async { limiter.set_quota(Quota::per_minute(1).unwrap()) };
    let (outcome, ()) = tokio::join!(wait, change);
    assert!(
        matches!(outcome, Err(RateError::WouldExceed { wait, .. }) if wait >= millis(59_000)),
        "{outcome:?}"
    );
    assert_eq!(limiter.snapshot().denied, 1);
}

#[test]
fn clock_that_stands_still_or_jumps_by_years_loses_nothing() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let (clock, limiter) = standing(quota(10, 5));
    for years in [0, 1, 10, 100, 500] {
        clock.advance(YEAR * years);
        if years > 0 {
            assert_eq!(limiter.available(), 5, "after {years} years");
        }
        limiter.try_acquire(limiter.available()).unwrap();
        for _ in 0..100 {
            let denied = limiter.try_acquire(1);
            let retry_after = millis(100);
            assert_eq!(denied, Err(RateError::Denied { retry_after }));
        }
        if years < 100 {
            clock.advance(millis(200));
            assert_eq!(limiter.available(), 2);
        }
    }
}

#[test]
fn rarest_and_fastest_quotas_work_to_the_unit() {
    let (clock, limiter) = standing(Quota::per_second(1_000_000_000).unwrap());
    limiter.try_acquire(1_000_000_000).unwrap();
    clock.advance(Duration::from_nanos(7));
    assert_eq!(limiter.available(), 7);
    limiter.set_quota(Quota::new(1, steadfast_sync::MAX_DURATION).unwrap());
    assert_eq!(limiter.available(), 1);
    limiter.try_acquire(1).unwrap();
    let denied = limiter.try_acquire(1);
    let retry_after = steadfast_sync::MAX_DURATION;
    assert_eq!(denied, Err(RateError::Denied { retry_after }));
    let widest = Quota::new(u32::MAX, steadfast_sync::MAX_DURATION).unwrap();
    for quota in [widest, Quota::per_second(1).unwrap()].repeat(1_000) {
        limiter.set_quota(quota);
        assert_eq!(limiter.available(), 0);
        limiter.refund(1);
        assert_eq!(limiter.try_acquire(1), Ok(()));
    }
    let mut wait: Boxed<'_, _> = Box::pin(limiter.acquire_timeout(1, Duration::MAX));
    limiter.set_quota(widest);
    limiter.refund(u32::MAX);
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(())));
}
