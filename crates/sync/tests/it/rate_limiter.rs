use std::{
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use proptest::prelude::*;
use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{KeyedRateLimiter, Quota, RateError, RateLimiter};
use tokio::task::JoinSet;

use crate::support::{Boxed, EPOCH, Random, millis, poll};

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

#[test]
fn keyed_limiter_limits_each_key_by_itself() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let limiter = KeyedRateLimiter::builder(quota(1, 2))
        .clock(clock)
        .build()
        .unwrap();
    for key in ["alice", "bob"] {
        assert_eq!(limiter.try_acquire(&key, 2), Ok(()));
        let retry_after = millis(1_000);
        assert_eq!(
            limiter.try_acquire(&key, 1),
            Err(RateError::Denied { retry_after })
        );
    }
}

#[test]
fn peek_says_what_try_acquire_would_say_and_takes_nothing() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let limiter = KeyedRateLimiter::builder(quota(10, 3))
        .clock(clock.clone())
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(limiter.peek(&"a", 3), Ok(()));
    }
    assert_eq!(limiter.len(), 0, "nothing is tracked");
    limiter.try_acquire(&"a", 3).unwrap();
    let denied = limiter.peek(&"a", 2);
    assert!(matches!(denied, Err(RateError::Denied { .. })));
    assert_eq!(denied, limiter.try_acquire(&"a", 2));
    clock.advance(Duration::from_millis(200));
    assert_eq!(limiter.peek(&"a", 2), Ok(()));
    assert!(limiter.peek(&"a", 4).is_err(), "more than the burst");
}

#[test]
fn key_is_forgotten_exactly_when_it_is_as_good_as_unknown() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let limiter = KeyedRateLimiter::builder(quota(1, 2))
        .clock(clock.clone())
        .build()
        .unwrap();
    limiter.try_acquire(&1, 2).unwrap();
    clock.advance(Duration::from_nanos(1_999_999_999));
    assert_eq!((limiter.sweep(), limiter.len()), (0, 1));
    clock.advance(Duration::from_nanos(1));
    assert_eq!((limiter.sweep(), limiter.len()), (1, 0));
    assert!(limiter.is_empty());
}

#[test]
fn idle_keys_go_while_others_come() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = KeyedRateLimiter::builder(quota(1_000, 1)).clock(clock.clone());
    let limiter = builder.build().unwrap();
    for key in 0..100_000 {
        limiter.try_acquire(&key, 1).unwrap();
        clock.advance(millis(1));
    }
    // A thousand keys were in use within the last second.
    assert!(limiter.len() < 4_000, "{} keys are left", limiter.len());
}

#[test]
fn sweep_finds_every_idle_key_wherever_the_last_one_stopped() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = KeyedRateLimiter::builder(quota(1, 1)).clock(clock.clone());
    let limiter = builder.build().unwrap();
    for key in 0..20_000 {
        limiter.try_acquire(&key, 1).unwrap();
    }
    assert_eq!((limiter.len(), limiter.sweep()), (20_000, 0));
    clock.advance(millis(1_000));
    limiter.try_acquire(&0, 1).unwrap();
    assert_eq!((limiter.sweep(), limiter.len()), (19_999, 1));
}

#[test]
fn key_beyond_the_bound_is_refused() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = KeyedRateLimiter::builder(quota(1, 1))
        .max_keys(2)
        .clock(clock.clone());
    let limiter = builder.build().unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    limiter.try_acquire(&2, 1).unwrap();
    let too_many = RateError::TooManyKeys { max_keys: 2 };
    assert_eq!(limiter.try_acquire(&3, 1), Err(too_many));
    assert!(matches!(
        limiter.try_acquire(&2, 1),
        Err(RateError::Denied { .. })
    ));
    clock.advance(millis(1_000));
    limiter.sweep();
    assert_eq!(limiter.try_acquire(&3, 1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn waiters_of_a_key_are_served_in_order_and_at_its_rate() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = KeyedRateLimiter::builder(quota(10, 1)).clock(clock.clone());
    let limiter = Arc::new(builder.build().unwrap());
    let start = clock.monotonic();
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for index in 0..10 {
        let (limiter, served) = (Arc::clone(&limiter), Arc::clone(&served));
        tasks.spawn(async move {
            limiter.acquire(&"key", 1).await.unwrap();
            served.lock().unwrap().push(index);
        });
    }
    tasks.join_all().await;
    assert_eq!(*served.lock().unwrap(), (0..10).collect::<Vec<_>>());
    let took = clock.monotonic() - start;
    assert!((millis(900)..millis(920)).contains(&took), "{took:?}");
    let timeout = millis(50);
    let refused = limiter.acquire_timeout(&"key", 1, timeout).await;
    assert!(
        matches!(refused, Err(RateError::WouldExceed { .. })),
        "{refused:?}"
    );
    assert_eq!(
        limiter.acquire_timeout(&"key", 1, millis(150)).await,
        Ok(())
    );
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

/// Asserts that no window of the record holds more than burst + rate × window units.
fn assert_within(quota: Quota, record: &[(Duration, u32)]) {
    for (start, (from, _)) in record.iter().enumerate() {
        let mut units = 0;
        for (until, taken) in &record[start..] {
            units += u128::from(*taken);
            let earned = (*until - *from).as_nanos() / quota.interval().as_nanos();
            let allowed = u128::from(quota.burst()) + earned;
            assert!(
                units <= allowed,
                "{units} units of {allowed} within {:?}",
                *until - *from
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_window_ever_exceeds_the_quota(
        per_second in 1_u32..2_000,
        burst in 1_u32..20,
        steps in prop::collection::vec((0_u64..5_000_000, 1_u32..20), 1..200)
    ) {
        let quota = quota(per_second, burst);
        let clock = Arc::new(ManualClock::new(EPOCH));
        let direct = RateLimiter::builder(quota).clock(clock.clone()).build().unwrap();
        let keyed = KeyedRateLimiter::builder(quota).clock(clock.clone()).build().unwrap();
        let start = clock.monotonic();
        let mut record = Vec::new();
        for (nanos, units) in steps {
            clock.advance(Duration::from_nanos(nanos * 1_000 / u64::from(per_second)));
            let outcome = direct.try_acquire(units);
            // A sweep must not be noticed, whenever it comes.
            keyed.sweep();
            prop_assert_eq!(&keyed.try_acquire(&0, units), &outcome);
            if outcome.is_ok() {
                record.push((clock.monotonic() - start, units));
            }
        }
        assert_within(quota, &record);
    }

    #[test]
    fn no_window_ever_exceeds_the_quota_with_waiters_that_are_cancelled(
        burst in 1_u32..5,
        callers in prop::collection::vec((0_u64..300, 1_u32..5, 1_u64..400), 1..30)
    ) {
        let quota = quota(50, burst);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let limiter = ticking(quota);
            let clock = Arc::new(ManualClock::ticking(EPOCH));
            let start = clock.monotonic();
            let record = Arc::new(Mutex::new(Vec::new()));
            let mut tasks = JoinSet::new();
            for (come, units, patience) in callers {
                let units = units.min(burst);
                let (limiter, clock) = (Arc::clone(&limiter), Arc::clone(&clock));
                let record = Arc::clone(&record);
                tasks.spawn(async move {
                    tokio::time::sleep(millis(come)).await;
                    let wait = tokio::time::timeout(millis(patience), limiter.acquire(units));
                    if wait.await.is_ok() {
                        record.lock().unwrap().push((clock.monotonic() - start, units));
                    }
                });
            }
            tasks.join_all().await;
            assert_eq!(limiter.waiting(), 0);
            assert_within(quota, &record.lock().unwrap());
        });
    }
}
