use std::sync::Arc;

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{
    BreakerState, CircuitBreaker, KeyedRateLimiter, PrimitiveState, Quota, RateLimiter, Registry,
    Semaphore,
};

use crate::support::{EPOCH, millis};

#[test]
fn named_primitives_are_listed_while_they_live_and_others_never() {
    let registry = Registry::new();
    let named = Semaphore::builder(3).name("a").registry(&registry).build();
    let unnamed = Semaphore::builder(3).registry(&registry).build();
    let second = Semaphore::builder(5).name("b").registry(&registry).build();
    let names = || -> Vec<_> { registry.snapshot().into_iter().map(|s| s.name).collect() };
    assert_eq!(names(), ["a", "b"]);
    drop((named, unnamed));
    assert_eq!(names(), ["b"]);
    drop(second);
    assert!(registry.snapshot().is_empty());
}

#[test]
fn dead_registrations_take_no_memory_for_long() {
    let registry = Registry::new();
    for _ in 0..10_000 {
        drop(
            Semaphore::builder(1)
                .name("brief")
                .registry(&registry)
                .build(),
        );
    }
    let shown = format!("{registry:?}");
    let registered: usize = shown
        .chars()
        .filter(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .unwrap();
    assert!(registered <= 32, "{shown}");
}

#[tokio::test(start_paused = true)]
async fn snapshot_of_a_semaphore_tells_permits_and_the_oldest_wait() {
    let registry = Registry::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::ticking(EPOCH));
    let builder = Semaphore::builder(3).name("workers").clock(clock);
    let semaphore = builder.registry(&registry).build().unwrap();
    let held = semaphore.acquire(2).await.unwrap();
    let waiting = semaphore.acquire_timeout(2, millis(50));
    let (outcome, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(millis(20)).await;
        let PrimitiveState::Semaphore(seen) = &registry.snapshot()[0].state else {
            panic!("not a semaphore");
        };
        assert_eq!((seen.capacity, seen.in_use, seen.waiting), (3, 2, 1));
        assert_eq!(seen.oldest_wait, Some(millis(20)));
        assert_eq!(seen.acquired, 1);
    });
    assert!(outcome.is_err());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_limiters_tell_level_waits_and_denials() {
    let registry = Registry::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::ticking(EPOCH));
    let quota = Quota::per_second(10).unwrap().with_burst(3).unwrap();
    let builder = RateLimiter::builder(quota).name("direct");
    let direct = builder.clock(Arc::clone(&clock)).registry(&registry);
    let direct = direct.build().unwrap();
    let builder = KeyedRateLimiter::builder(quota).name("keyed");
    let keyed = builder.clock(clock).registry(&registry).build().unwrap();
    direct.try_acquire(2).unwrap();
    assert!(direct.try_acquire(2).is_err());
    for key in [1, 2] {
        keyed.try_acquire(&key, 3).unwrap();
    }
    let waiting = async { tokio::join!(direct.acquire(3), keyed.acquire(&1, 2)) };
    let (outcomes, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(millis(20)).await;
        let seen: Vec<_> = registry.snapshot().into_iter().map(|s| s.state).collect();
        let [
            PrimitiveState::RateLimiter(direct),
            PrimitiveState::KeyedRateLimiter(keyed),
        ] = &seen[..]
        else {
            panic!("{seen:?}");
        };
        assert_eq!((direct.quota, direct.available), (quota, 1));
        assert_eq!((direct.waiting, direct.denied), (1, 1));
        assert_eq!(direct.oldest_wait, Some(millis(20)));
        assert_eq!((keyed.quota, keyed.keys, keyed.waiting), (quota, 2, 1));
        assert_eq!((keyed.oldest_wait, keyed.denied), (Some(millis(20)), 0));
    });
    assert_eq!(outcomes, (Ok(()), Ok(())));
    let watch = registry.watch(millis(100)).unwrap();
    let _ = tokio::time::timeout(millis(1_000), watch).await;
    assert!(keyed.is_empty(), "a look forgets idle keys");
}

#[tokio::test(start_paused = true)]
async fn watch_turns_an_open_breaker_half_open_on_time() {
    let registry = Registry::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::ticking(EPOCH));
    let builder = CircuitBreaker::builder().name("payments").clock(clock);
    let builder = builder.consecutive_failures(1).open_for(millis(1_000));
    let breaker = builder.registry(&registry).build().unwrap();
    let _ = breaker.try_acquire().unwrap().failure();
    let watch = registry.watch(millis(300)).unwrap();
    assert!(tokio::time::timeout(millis(1_250), watch).await.is_err());
    let PrimitiveState::CircuitBreaker(seen) = &registry.snapshot()[0].state else {
        panic!("not a breaker");
    };
    assert_eq!(seen.state, BreakerState::HalfOpen);
    assert_eq!(seen.state_age, millis(50), "since the look at 1200 ms");
}
