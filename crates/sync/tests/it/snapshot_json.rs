//! A registry's snapshot as JSON, as in `snapshot.json`.

use std::sync::Arc;

use serde_json::{Value, json};
use steadfast_clock::ManualClock;
use steadfast_sync::{
    AsyncLock, CircuitBreaker, Debounce, Decision, InitCell, KeyedRateLimiter, Quota, RateLimiter,
    Registry, Retry, RetryBudget, Semaphore, SingleFlight,
};

use crate::support::{EPOCH, millis, poll};

#[tokio::test(start_paused = true)]
async fn every_kind_looks_as_documented() {
    let registry = Registry::new();
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = Semaphore::builder(2).name("workers").registry(&registry);
    let semaphore = builder.clock(clock).build().unwrap();
    let budget = Arc::new(RetryBudget::new(10, 0.5).unwrap());
    let builder = Retry::builder().name("payments").registry(&registry);
    let retry = builder.budget(budget).build().unwrap();

    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let builder = AsyncLock::builder()
        .name("users")
        .show_keys()
        .registry(&registry);
    let lock = builder.clock(clock.clone()).build().unwrap();
    let quota = Quota::per_second(10).unwrap().with_burst(20).unwrap();
    let builder = RateLimiter::builder(quota).name("api").registry(&registry);
    let limiter = builder.clock(clock.clone()).build().unwrap();
    let keyed = KeyedRateLimiter::<u8>::builder(quota).name("logins");
    let breaker = CircuitBreaker::builder().name("bank").clock(clock.clone());
    let flights = SingleFlight::<u8, (), ()>::builder().name("pages");
    let cell = InitCell::<(), ()>::builder().name("pool").clock(clock);
    let debounce = Debounce::<()>::builder(millis(1)).name("search");
    let _idle = (
        keyed.registry(&registry).build().unwrap(),
        breaker.registry(&registry).build().unwrap(),
        flights.registry(&registry).build().unwrap(),
        cell.registry(&registry).build().unwrap(),
        debounce.registry(&registry).build().unwrap(),
    );

    limiter.try_acquire(20).unwrap();
    let _guard = lock.lock("alice").await.unwrap();
    let mut queued = Box::pin(lock.lock("alice"));
    assert!(poll(&mut queued).is_pending());
    let _held = semaphore.acquire(2).await.unwrap();
    let mut waiting = Box::pin(semaphore.acquire(1));
    assert!(poll(&mut waiting).is_pending());
    let fail = |_| async { Err::<(), _>(()) };
    retry.run(fail, |()| Decision::Stop).await.unwrap_err();
    tokio::time::sleep(millis(1_500)).await;

    let expected: Value = serde_json::from_str(include_str!("snapshot.json")).unwrap();
    let mut seen: Value = serde_json::to_value(registry.snapshot()).unwrap();
    for pointer in [
        "/0/holders/0/holder",
        "/0/queue/0/caller",
        "/2/keys/0/holder",
        "/2/keys/0/queue/0/caller",
    ] {
        let place = seen.pointer_mut(pointer).unwrap();
        let text = place.as_str().unwrap();
        assert!(text.contains("tests/it/snapshot_json.rs:"), "{text}");
        *place = json!("here");
    }
    assert_eq!(seen, expected, "{seen:#}");
}
