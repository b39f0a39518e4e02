use std::{
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{KeyedRateLimiter, Quota, RateError, RateLimiter};
use tokio::task::JoinSet;

use crate::support::{Boxed, EPOCH, Random, millis, poll};

mod changes;
mod keyed;
mod model;
mod unclaimed;

fn quota(per_second: u32, burst: u32) -> Quota {
    Quota::per_second(per_second)
        .unwrap()
        .with_burst(burst)
        .unwrap()
}

fn ticking(quota: Quota) -> Arc<RateLimiter> {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    Arc::new(RateLimiter::builder(quota).clock(clock).build().unwrap())
}

fn queued(limiter: &RateLimiter, units: u32) -> Boxed<'_, Result<(), RateError>> {
    let mut wait: Boxed<'_, _> = Box::pin(limiter.acquire(units));
    assert!(poll(&mut wait).is_pending());
    wait
}

#[tokio::test(start_paused = true)]
async fn row_05_fifty_waits_take_as_long_as_the_rate_says() {
    let limiter = ticking(quota(10, 1));
    let clock = ManualClock::ticking(EPOCH);
    let start = clock.monotonic();
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let limiter = Arc::clone(&limiter);
        tasks.spawn(async move { limiter.acquire(1).await.unwrap() });
    }
    tasks.join_all().await;
    let took = clock.monotonic() - start;
    assert!((millis(4_900)..millis(5_000)).contains(&took), "{took:?}");
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn denial_says_when_to_come_back() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let limiter = RateLimiter::builder(quota(10, 3))
        .clock(clock.clone())
        .build()
        .unwrap();
    limiter.try_acquire(3).unwrap();
    let retry_after = millis(200);
    assert_eq!(
        limiter.try_acquire(2),
        Err(RateError::Denied { retry_after })
    );
    clock.advance(retry_after - Duration::from_nanos(1));
    assert!(limiter.try_acquire(2).is_err());
    clock.advance(Duration::from_nanos(1));
    assert_eq!((limiter.available(), limiter.try_acquire(2)), (2, Ok(())));
    assert_eq!(limiter.available(), 0);
}

#[test]
fn senseless_requests_are_refused_at_once() {
    let limiter = RateLimiter::new(quota(10, 3));
    assert_eq!(limiter.try_acquire(0), Err(RateError::ZeroUnits));
    let exceeds = RateError::ExceedsBurst {
        requested: 4,
        burst: 3,
    };
    assert_eq!(limiter.try_acquire(4), Err(exceeds.clone()));
    let mut wait: Boxed<'_, _> = Box::pin(limiter.acquire(4));
    assert_eq!(poll(&mut wait), Poll::Ready(Err(exceeds)));
}

#[tokio::test(start_paused = true)]
async fn try_acquire_does_not_pass_a_waiter() {
    let limiter = ticking(quota(10, 2));
    limiter.try_acquire(2).unwrap();
    let mut wait = queued(&limiter, 2);
    tokio::time::sleep(millis(150)).await;
    let denied = limiter.try_acquire(1).unwrap_err();
    assert_eq!(
        denied,
        RateError::Denied {
            retry_after: millis(150)
        }
    );
    tokio::time::sleep(millis(50)).await;
    assert!(
        limiter.try_acquire(1).is_err(),
        "the waiter comes first, polled or not"
    );
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(())));
    drop(wait);
    tokio::time::sleep(millis(100)).await;
    assert_eq!(limiter.try_acquire(1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_whatever_they_want() {
    let limiter = ticking(quota(100, 5));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for (index, units) in [5, 1, 4, 1, 2, 5, 1].into_iter().enumerate() {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        tasks.spawn(async move {
            limiter.acquire(units).await.unwrap();
            order.lock().unwrap().push(index);
        });
    }
    tasks.join_all().await;
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiter_has_taken_nothing() {
    let limiter = ticking(quota(10, 1));
    limiter.try_acquire(1).unwrap();
    let first = queued(&limiter, 1);
    let second = queued(&limiter, 1);
    drop(first);
    let clock = ManualClock::ticking(EPOCH);
    let start = clock.monotonic();
    second.await.unwrap();
    let took = clock.monotonic() - start;
    assert!(
        took <= millis(101),
        "it waited for the dropped one: {took:?}"
    );
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn wait_beyond_the_timeout_is_not_begun() {
    let limiter = ticking(quota(10, 1));
    limiter.try_acquire(1).unwrap();
    let (wait, timeout) = (millis(100), millis(99));
    let refused = limiter.acquire_timeout(1, timeout).await;
    assert_eq!(refused, Err(RateError::WouldExceed { wait, timeout }));
    assert_eq!(limiter.acquire_timeout(1, millis(110)).await, Ok(()));
}

#[test]
fn full_queue_refuses_the_next_waiter() {
    let limiter = RateLimiter::builder(quota(1, 1))
        .max_waiters(1)
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    limiter.try_acquire(1).unwrap();
    let first = queued(&limiter, 1);
    let mut second: Boxed<'_, _> = Box::pin(limiter.acquire(1));
    let full = RateError::QueueFull { max_waiters: 1 };
    assert_eq!(poll(&mut second), Poll::Ready(Err(full)));
    drop(first);
    let _third = queued(&limiter, 1);
}

#[tokio::test(start_paused = true)]
async fn cancellation_storm_leaves_nothing_behind() {
    let mut random = Random::seeded();
    let limiter = ticking(quota(1, 1));
    let keyed = KeyedRateLimiter::new(quota(1, 1));
    limiter.try_acquire(1).unwrap();
    keyed.try_acquire(&1, 1).unwrap();
    let mut waits: Vec<_> = (0..10_000).map(|_| queued(&limiter, 1)).collect();
    for _ in 0..10_000 {
        let mut wait: Boxed<'_, _> = Box::pin(keyed.acquire(&1, 1));
        assert!(poll(&mut wait).is_pending());
        waits.push(wait);
    }
    assert_eq!((limiter.waiting(), keyed.waiting(&1)), (10_000, 10_000));
    random.shuffle(&mut waits);
    drop(waits);
    assert_eq!((limiter.waiting(), keyed.waiting(&1)), (0, 0));
    // Nobody is ahead of a caller that comes now.
    for denied in [limiter.try_acquire(1), keyed.try_acquire(&1, 1)] {
        let Err(RateError::Denied { retry_after }) = denied else {
            panic!("{denied:?}");
        };
        assert!(retry_after <= millis(1_000), "{retry_after:?}");
    }
    tokio::time::sleep(millis(1_000)).await;
    assert_eq!(limiter.try_acquire(1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn timeout_behind_a_waiter_that_is_not_polled_tells_no_wait_within_it() {
    let direct = ticking(quota(10, 1));
    direct.acquire(1).await.unwrap();
    let mut parked: Boxed<'_, _> = Box::pin(direct.acquire(1));
    assert!(poll(&mut parked).is_pending());
    let error = direct.acquire_timeout(1, millis(250)).await.unwrap_err();
    let timeout = millis(250);
    assert!(
        matches!(error, RateError::WouldExceed { wait, .. } if wait >= timeout),
        "{error}"
    );
    assert_eq!(direct.waiting(), 1);
}
