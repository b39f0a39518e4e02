//! Waiters that come first and are not polled.

use std::{sync::Arc, task::Poll};

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{KeyedRateLimiter, RateError, RateLimiter, RateLimiterBuilder, Registry};
use tokio::time::sleep;

use super::{queued, quota};
use crate::support::{Boxed, EPOCH, Warnings, look, millis, poll};

fn builder(registry: &Registry) -> RateLimiterBuilder {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = RateLimiter::builder(quota(10, 1)).name("parked");
    builder.registry(registry).clock(clock)
}

#[tokio::test(start_paused = true)]
async fn waiter_behind_reports_a_parked_one_once_after_the_grace() {
    let limiter = builder(&Registry::new()).grace(millis(50)).build().unwrap();
    let warnings = Warnings::record();
    limiter.try_acquire(1).unwrap();
    let parked = queued(&limiter, 1);
    let behind = limiter.acquire_timeout(1, millis(1_000));
    let (outcome, ()) = tokio::join!(behind, async {
        sleep(millis(149)).await;
        assert!(warnings.take().is_empty(), "its grace is not over");
        sleep(millis(4)).await;
        let warning = warnings.take_one();
        for part in [
            "name=\"parked\"",
            "rate_limiter",
            "revoked=false",
            "waiting=1",
        ] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
    });
    assert!(matches!(outcome, Err(RateError::WouldExceed { .. })));
    assert!(warnings.take_one().contains("not let through"));
    drop(parked);
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn parked_waiter_goes_to_the_end_of_the_line_and_has_taken_nothing() {
    let builder = builder(&Registry::new()).grace(millis(50));
    let limiter = builder.revoke_unclaimed().build().unwrap();
    let warnings = Warnings::record();
    limiter.try_acquire(1).unwrap();
    let mut parked = queued(&limiter, 1);
    let mut second = queued(&limiter, 1);
    let third = limiter.acquire_timeout(1, millis(1_000));
    // The second is not polled either: the third sends both behind itself, after a grace each.
    let clock = ManualClock::ticking(EPOCH);
    let start = clock.monotonic();
    third.await.unwrap();
    let took = clock.monotonic() - start;
    assert!((millis(200)..millis(206)).contains(&took), "{took:?}");
    let all = warnings.take();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().all(|warning| warning.contains("revoked=true")));
    sleep(millis(100)).await;
    assert!(
        poll(&mut second).is_pending(),
        "the parked one is ahead again"
    );
    assert_eq!(poll(&mut parked), Poll::Ready(Ok(())));
    second.await.unwrap();
    assert_eq!(limiter.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn polled_waiters_are_never_revoked_however_long_they_wait() {
    let builder = builder(&Registry::new()).grace(millis(5));
    let limiter = Arc::new(builder.revoke_unclaimed().build().unwrap());
    let warnings = Warnings::record();
    limiter.try_acquire(1).unwrap();
    let waits = (0..10).map(|index| {
        let limiter = Arc::clone(&limiter);
        async move {
            limiter.acquire(1).await.unwrap();
            index
        }
    });
    let mut tasks: tokio::task::JoinSet<_> = waits.collect();
    let mut order = Vec::new();
    while let Some(index) = tasks.join_next().await {
        order.push(index.unwrap());
    }
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    assert!(warnings.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn parked_waiter_of_one_key_is_revoked_too() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = KeyedRateLimiter::builder(quota(10, 1)).clock(clock);
    let limiter = builder
        .grace(millis(50))
        .revoke_unclaimed()
        .build()
        .unwrap();
    limiter.try_acquire(&1, 1).unwrap();
    let mut parked: Boxed<'_, _> = Box::pin(limiter.acquire(&1, 1));
    assert!(poll(&mut parked).is_pending());
    assert!(limiter.acquire_timeout(&1, 1, millis(199)).await.is_err());
    assert_eq!(limiter.acquire_timeout(&1, 1, millis(250)).await, Ok(()));
    assert_eq!(limiter.waiting(&1), 1);
    sleep(millis(100)).await;
    assert_eq!(poll(&mut parked), Poll::Ready(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn watch_reports_parked_and_long_waits_once_without_grace() {
    let registry = Registry::new();
    let direct = builder(&registry).long_wait(millis(1_500)).build().unwrap();
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let keyed = KeyedRateLimiter::builder(quota(10, 1)).name("keys");
    let keyed = keyed
        .registry(&registry)
        .clock(clock)
        .long_wait(millis(1_500));
    let keyed = keyed.build().unwrap();
    let warnings = Warnings::record();
    direct.try_acquire(1).unwrap();
    keyed.try_acquire(&1, 1).unwrap();
    let mut parked: Vec<Boxed<'_, Result<(), RateError>>> =
        vec![Box::pin(direct.acquire(1)), Box::pin(keyed.acquire(&1, 1))];
    for wait in &mut parked {
        assert!(poll(wait).is_pending());
    }
    for (until, parts) in [
        (1_098, None),
        (1_102, Some("unclaimed_for=1.0")),
        (1_499, None),
        (1_502, Some("waited=1.5")),
        (9_000, None),
    ] {
        sleep(millis(until) - elapsed(&direct)).await;
        look(&registry);
        look(&registry);
        let all = warnings.take();
        assert_eq!(
            all.len(),
            if parts.is_some() { 2 } else { 0 },
            "{until}: {all:?}"
        );
        if let Some(part) = parts {
            assert!(all.iter().all(|warning| warning.contains(part)), "{all:?}");
        }
    }
    for wait in parked {
        wait.await.unwrap();
    }
    assert!(warnings.take().is_empty(), "it was reported before");
}

/// Since the first waiter came.
fn elapsed(limiter: &RateLimiter) -> std::time::Duration {
    limiter.oldest_wait().unwrap_or_default()
}
