use std::{sync::Arc, time::Duration};

use loom::{
    future::block_on,
    sync::atomic::{AtomicU32, Ordering},
};
use steadfast_clock::ManualClock;
use steadfast_sync::{KeyedRateLimiter, Quota, RateLimiter};

use super::{Boxed, explore, join, poll, spawn, still_clock};

const SECOND: Duration = Duration::from_secs(1);

struct Shared {
    limiter: RateLimiter,
    keyed: KeyedRateLimiter<u8>,
    clock: Arc<ManualClock>,
    taken: AtomicU32,
}

impl Shared {
    /// Limiters that earn a unit a second.
    fn new(burst: u32) -> Arc<Self> {
        let clock = still_clock();
        let quota = Quota::per_second(1).unwrap().with_burst(burst).unwrap();
        let limiter = RateLimiter::builder(quota).clock(clock.clone()).build();
        let keyed = KeyedRateLimiter::builder(quota)
            .clock(clock.clone())
            .build();
        Arc::new(Self {
            limiter: limiter.unwrap(),
            keyed: keyed.unwrap(),
            clock,
            taken: AtomicU32::new(0),
        })
    }

    fn try_acquire(&self, units: u32) {
        if self.limiter.try_acquire(units).is_ok() {
            self.taken.fetch_add(units, Ordering::Relaxed);
        }
    }
}

#[test]
fn concurrent_callers_take_the_burst_and_not_a_unit_more() {
    explore(|| {
        let shared = Shared::new(2);
        let threads = [0, 1].map(|_| spawn(&shared, |shared| shared.try_acquire(1)));
        shared.try_acquire(1);
        join(threads);
        assert_eq!(shared.taken.load(Ordering::Relaxed), 2);
        assert_eq!(shared.limiter.available(), 0);
    });
}

#[test]
fn time_that_passes_meanwhile_adds_no_more_than_it_earns() {
    explore(|| {
        let shared = Shared::new(1);
        let threads = [0, 1].map(|_| spawn(&shared, |shared| shared.try_acquire(1)));
        shared.clock.advance(SECOND);
        shared.try_acquire(1);
        join(threads);
        let taken = shared.taken.load(Ordering::Relaxed);
        assert!((1..=2).contains(&taken), "{taken}");
    });
}

#[test]
fn trying_never_takes_the_unit_that_a_waiter_waits_for() {
    explore(|| {
        let shared = Shared::new(1);
        shared.limiter.try_acquire(1).unwrap();
        let mut waiter: Boxed<'_, _> = Box::pin(shared.limiter.acquire(1));
        assert!(poll(&mut waiter).is_pending());
        let barger = spawn(&shared, |shared| {
            assert!(shared.limiter.try_acquire(1).is_err());
        });
        shared.clock.advance(SECOND);
        join([barger]);
        assert!(poll(&mut waiter).is_ready());
    });
}

#[test]
fn waiter_that_is_dropped_lets_the_next_move_up() {
    explore(|| {
        let shared = Shared::new(1);
        shared.limiter.try_acquire(1).unwrap();
        let mut first: Boxed<'_, _> = Box::pin(shared.limiter.acquire(1));
        assert!(poll(&mut first).is_pending());
        shared.clock.advance(SECOND);
        let second = spawn(&shared, |shared| {
            block_on(shared.limiter.acquire(1)).unwrap();
        });
        drop(first);
        join([second]);
        assert_eq!(shared.limiter.waiting(), 0);
        assert_eq!(shared.limiter.available(), 0);
    });
}

#[test]
fn concurrent_callers_of_one_key_take_its_burst_and_not_a_unit_more() {
    explore(|| {
        let shared = Shared::new(2);
        let take = |shared: &Shared| {
            if shared.keyed.try_acquire(&1, 1).is_ok() {
                shared.taken.fetch_add(1, Ordering::Relaxed);
            }
        };
        let threads = [0, 1].map(|_| spawn(&shared, take));
        take(&shared);
        join(threads);
        assert_eq!(shared.taken.load(Ordering::Relaxed), 2);
    });
}
