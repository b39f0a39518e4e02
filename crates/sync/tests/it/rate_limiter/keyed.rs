use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{KeyedRateLimiter, RateError};
use tokio::task::JoinSet;

use super::quota;
use crate::support::{EPOCH, millis};

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

#[test]
fn keys_that_are_idle_go_by_the_calls_of_another_alone() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = KeyedRateLimiter::builder(quota(1_000, 1)).clock(clock.clone());
    let limiter = builder.build().unwrap();
    for key in 0..10_000 {
        limiter.try_acquire(&key, 1).unwrap();
    }
    for _ in 0..20_000 {
        clock.advance(millis(1));
        limiter.try_acquire(&0, 1).unwrap();
    }
    assert_eq!(limiter.len(), 1);
}

#[test]
fn raised_burst_is_earned_first_by_keys_that_are_not_tracked_too() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = KeyedRateLimiter::builder(quota(1, 2)).clock(clock.clone());
    let limiter = builder.build().unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    limiter.set_quota(quota(1, 5));
    assert_eq!((limiter.available(&1), limiter.available(&2)), (1, 2));
    clock.advance(millis(1_000));
    assert_eq!((limiter.available(&1), limiter.available(&2)), (2, 3));
    assert_eq!(limiter.sweep(), 0, "one unit less than a key never seen");
    limiter.refund(&1, 5);
    assert_eq!(limiter.available(&1), 3, "no more than a key never seen");
    assert_eq!((limiter.sweep(), limiter.len()), (1, 0));
    clock.advance(millis(9_000));
    assert_eq!((limiter.available(&1), limiter.quota()), (5, quota(1, 5)));
}

#[tokio::test(start_paused = true)]
async fn waiters_of_every_key_follow_a_new_quota() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let limiter = KeyedRateLimiter::builder(quota(1, 2)).clock(clock.clone());
    let limiter = Arc::new(limiter.build().unwrap());
    let start = clock.monotonic();
    let mut tasks = JoinSet::new();
    for key in 0..50 {
        limiter.try_acquire(&key, 2).unwrap();
        let (large, small) = (Arc::clone(&limiter), Arc::clone(&limiter));
        tasks.spawn(async move { (2, large.acquire(&key, 2).await) });
        tasks.spawn(async move { (1, small.acquire(&key, 1).await) });
    }
    tokio::time::sleep(millis(1)).await;
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.keys, snapshot.waiting), (50, 100));
    assert_eq!(snapshot.oldest_wait, Some(millis(1)));
    limiter.set_quota(quota(100, 1));
    let exceeds = RateError::ExceedsBurst {
        requested: 2,
        burst: 1,
    };
    for (units, outcome) in tasks.join_all().await {
        let expected = if units == 2 {
            Err(exceeds.clone())
        } else {
            Ok(())
        };
        assert_eq!(outcome, expected);
    }
    let took = clock.monotonic() - start;
    assert!((millis(10)..millis(13)).contains(&took), "{took:?}");
}
