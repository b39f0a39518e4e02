use std::{sync::Arc, time::Duration};

use loom::{
    future::block_on,
    sync::atomic::{AtomicUsize, Ordering},
};
use steadfast_sync::{AcquireError, Semaphore};

use super::{Boxed, Exclusive, explore, join, poll, spawn};

const LIMIT: Duration = Duration::from_secs(1);

struct Shared {
    semaphore: Semaphore,
    in_use: AtomicUsize,
    /// Touched by whoever has all permits.
    inside: Exclusive,
}

impl Shared {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            semaphore: Semaphore::new(capacity).unwrap(),
            in_use: AtomicUsize::new(0),
            inside: Exclusive::default(),
        })
    }

    fn acquire(&self, permits: usize, capacity: usize) {
        block_on(async {
            let _permit = self.semaphore.acquire(permits).await.unwrap();
            let before = self.in_use.fetch_add(permits, Ordering::Relaxed);
            assert!(before + permits <= capacity, "{before} and {permits}");
            self.in_use.fetch_sub(permits, Ordering::Relaxed);
        });
    }

    fn assert_nothing_left(&self) {
        let debug = format!("{:?}", self.semaphore);
        let facts = ["in_use: 0", "waiting: 0", "tracked_callers: 0"];
        assert!(facts.iter().all(|fact| debug.contains(fact)), "{debug}");
    }
}

#[test]
fn permits_in_use_never_exceed_the_capacity() {
    explore(|| {
        let shared = Shared::new(3);
        let one = spawn(&shared, |shared| shared.acquire(1, 3));
        let two = spawn(&shared, |shared| shared.acquire(2, 3));
        shared.acquire(2, 3);
        join([one, two]);
        shared.assert_nothing_left();
    });
}

#[test]
fn permits_are_handed_over_with_what_was_done_under_them() {
    explore(|| {
        let shared = Shared::new(2);
        let touch = |shared: &Shared| {
            block_on(async {
                let _permit = shared.semaphore.acquire(2).await.unwrap();
                shared.inside.touch();
            });
        };
        let other = spawn(&shared, touch);
        touch(&shared);
        join([other]);
        shared.assert_nothing_left();
    });
}

#[test]
fn waiter_that_is_dropped_passes_its_permits_on() {
    explore(|| {
        let shared = Shared::new(2);
        let permit = shared.semaphore.try_acquire(2).unwrap();
        let quitter = spawn(&shared, |shared| {
            let mut wait: Boxed<'_, _> = Box::pin(shared.semaphore.acquire(2));
            let _ = poll(&mut wait);
        });
        let stayer = spawn(&shared, |shared| shared.acquire(1, 2));
        drop(permit);
        join([quitter, stayer]);
        shared.assert_nothing_left();
    });
}

#[test]
fn timeout_that_races_with_the_release_loses_no_wake_up() {
    explore(|| {
        let shared = Shared::new(2);
        let permit = shared.semaphore.try_acquire(2).unwrap();
        let impatient = spawn(&shared, |shared| {
            block_on(async {
                let outcome = shared.semaphore.acquire_timeout(2, LIMIT).await;
                let is_late = matches!(outcome, Err(AcquireError::Timeout { .. }));
                assert!(outcome.is_ok() || is_late);
            });
        });
        let stayer = spawn(&shared, |shared| shared.acquire(1, 2));
        drop(permit);
        join([impatient, stayer]);
        shared.assert_nothing_left();
    });
}

#[test]
fn trying_never_passes_a_waiter() {
    explore(|| {
        let shared = Shared::new(2);
        let permit = shared.semaphore.try_acquire(1).unwrap();
        let mut waiter: Boxed<'_, _> = Box::pin(shared.semaphore.acquire(2));
        assert!(poll(&mut waiter).is_pending());
        // One is free all the time, and the waiter comes first.
        let barger = spawn(&shared, |shared| {
            assert!(shared.semaphore.try_acquire(1).is_err());
        });
        drop(permit);
        join([barger]);
        assert!(poll(&mut waiter).is_ready());
    });
}

#[test]
fn capacity_that_is_lowered_during_a_release_serves_or_refuses_the_waiter() {
    explore(|| {
        let shared = Shared::new(2);
        let permit = shared.semaphore.try_acquire(2).unwrap();
        let waiter = spawn(&shared, |shared| {
            block_on(async {
                match shared.semaphore.acquire(2).await {
                    Ok(_permit) => {}
                    Err(AcquireError::ExceedsCapacity { requested, .. }) => {
                        assert_eq!(requested, 2);
                    }
                    Err(error) => panic!("{error}"),
                }
            });
        });
        let setter = spawn(&shared, |shared| shared.semaphore.set_capacity(1).unwrap());
        drop(permit);
        join([waiter, setter]);
        assert_eq!(shared.semaphore.available(), 1);
        shared.assert_nothing_left();
    });
}

#[test]
fn capacity_that_is_raised_during_a_release_loses_no_wake_up() {
    explore(|| {
        let shared = Shared::new(1);
        let permit = shared.semaphore.try_acquire(1).unwrap();
        let waiters = [0, 1].map(|_| spawn(&shared, |shared| shared.acquire(1, 2)));
        shared.semaphore.set_capacity(2).unwrap();
        drop(permit);
        join(waiters);
        assert_eq!(shared.semaphore.available(), 2);
        shared.assert_nothing_left();
    });
}

#[test]
fn closing_refuses_waiters_and_leaves_holders_alone() {
    explore(|| {
        let shared = Shared::new(1);
        let permit = shared.semaphore.try_acquire(1).unwrap();
        let closer = spawn(&shared, |shared| shared.semaphore.close());
        let waiter = spawn(&shared, |shared| {
            block_on(async {
                let outcome = shared.semaphore.acquire(1).await;
                assert!(matches!(outcome, Ok(_) | Err(AcquireError::Closed)));
            });
        });
        drop(permit);
        join([closer, waiter]);
        shared.assert_nothing_left();
    });
}

#[test]
fn capacity_that_rises_serves_a_waiter_though_nobody_releases() {
    explore(|| {
        let semaphore = Arc::new(Semaphore::new(1).unwrap());
        let held = semaphore.try_acquire(1).unwrap();
        let waiter = spawn(&semaphore, |semaphore| {
            drop(block_on(semaphore.acquire(1)).unwrap());
        });
        semaphore.set_capacity(2).unwrap();
        join([waiter]);
        drop(held);
        assert_eq!(semaphore.available(), 2);
    });
}
