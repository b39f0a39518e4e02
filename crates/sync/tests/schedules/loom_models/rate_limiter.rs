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
fn quota_that_changes_meanwhile_neither_makes_nor_loses_units() {
    for (burst, per_second) in [(3, 7), (2, 5)] {
        explore(move || {
            let shared = Shared::new(2);
            let threads = [
                spawn(&shared, |shared| shared.try_acquire(1)),
                spawn(&shared, move |shared| {
                    let quota = Quota::per_second(per_second).unwrap();
                    shared.limiter.set_quota(quota.with_burst(burst).unwrap());
                }),
            ];
            shared.try_acquire(1);
            join(threads);
            assert_eq!(shared.taken.load(Ordering::Relaxed), 2);
            assert_eq!(shared.limiter.available(), 0);
        });
    }
}

#[test]
fn lower_burst_takes_away_no_more_than_exceeds_it() {
    explore(|| {
        let shared = Shared::new(3);
        let lower = spawn(&shared, |shared| {
            let quota = Quota::per_second(5).unwrap().with_burst(1).unwrap();
            shared.limiter.set_quota(quota);
        });
        shared.try_acquire(1);
        shared.try_acquire(1);
        join([lower]);
        let (taken, left) = (
            shared.taken.load(Ordering::Relaxed),
            shared.limiter.available(),
        );
        assert!(
            matches!((taken, left), (1, 0) | (2, 0) | (2, 1)),
            "{taken} taken, {left} left"
        );
    });
}

#[test]
fn units_that_come_back_meanwhile_are_there_once() {
    explore(|| {
        let shared = Shared::new(2);
        shared.try_acquire(2);
        let threads = [
            spawn(&shared, |shared| shared.limiter.refund(1)),
            spawn(&shared, |shared| shared.try_acquire(1)),
        ];
        join(threads);
        let taken = shared.taken.load(Ordering::Relaxed);
        assert_eq!(taken + shared.limiter.available(), 3);
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
