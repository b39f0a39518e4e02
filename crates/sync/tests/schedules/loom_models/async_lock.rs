use std::{sync::Arc, time::Duration};

use loom::future::block_on;
use steadfast_sync::{AsyncLock, LockError};

use super::{Boxed, Exclusive, explore, join, poll, spawn};

const LIMIT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Shared {
    lock: AsyncLock<u8>,
    inside: Exclusive,
}

impl Shared {
    fn lock_and_touch(&self) {
        block_on(async {
            let _guard = self.lock.lock(1).await.unwrap();
            self.inside.touch();
        });
    }

    fn assert_nothing_left(&self) {
        let debug = format!("{:?}", self.lock);
        assert!(
            debug.contains("locked: 0") && debug.contains("waiters: 0"),
            "{debug}"
        );
    }
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared::default())
}

#[test]
fn key_is_held_by_one_at_a_time() {
    explore(|| {
        let shared = shared();
        let threads = [0, 1].map(|_| spawn(&shared, Shared::lock_and_touch));
        shared.lock_and_touch();
        join(threads);
        shared.assert_nothing_left();
    });
}

#[test]
fn waiter_that_is_dropped_passes_the_grant_on() {
    explore(|| {
        let shared = shared();
        let guard = shared.lock.try_lock(1).unwrap();
        let quitter = spawn(&shared, |shared| {
            let mut wait: Boxed<'_, _> = Box::pin(shared.lock.lock(1));
            // Granted or not: its drop races with the release and with the other's arrival.
            let _ = poll(&mut wait);
        });
        let stayer = spawn(&shared, Shared::lock_and_touch);
        shared.inside.touch();
        drop(guard);
        join([quitter, stayer]);
        shared.assert_nothing_left();
    });
}

#[test]
fn timeout_that_races_with_the_release_loses_no_wake_up() {
    explore(|| {
        let shared = shared();
        let guard = shared.lock.try_lock(1).unwrap();
        let impatient = spawn(&shared, |shared| {
            block_on(async {
                match shared.lock.lock_timeout(1, LIMIT).await {
                    Ok(_guard) => shared.inside.touch(),
                    Err(LockError::Timeout { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            });
        });
        let stayer = spawn(&shared, Shared::lock_and_touch);
        shared.inside.touch();
        drop(guard);
        join([impatient, stayer]);
        shared.assert_nothing_left();
    });
}

#[test]
fn trying_never_passes_a_waiter() {
    explore(|| {
        let shared = shared();
        let guard = shared.lock.try_lock(1).unwrap();
        let mut waiter: Boxed<'_, _> = Box::pin(shared.lock.lock(1));
        assert!(poll(&mut waiter).is_pending());
        let barger = spawn(&shared, |shared| {
            assert!(shared.lock.try_lock(1).is_err());
        });
        drop(guard);
        join([barger]);
        assert!(poll(&mut waiter).is_ready());
    });
}

#[test]
fn closing_refuses_waiters_and_leaves_holders_alone() {
    explore(|| {
        let shared = shared();
        let guard = shared.lock.try_lock(1).unwrap();
        let closer = spawn(&shared, |shared| shared.lock.close());
        let waiter = spawn(&shared, |shared| {
            block_on(async {
                match shared.lock.lock(1).await {
                    Ok(_guard) => shared.inside.touch(),
                    Err(error) => assert_eq!(error, LockError::Closed),
                }
            });
        });
        shared.inside.touch();
        drop(guard);
        join([closer, waiter]);
        shared.assert_nothing_left();
    });
}

#[test]
fn locking_many_keys_in_opposite_orders_never_deadlocks() {
    explore(|| {
        let shared = shared();
        let lock = |shared: &Shared, keys: [u8; 2]| {
            block_on(async {
                let _guards = shared.lock.lock_many(keys).await.unwrap();
                shared.inside.touch();
            });
        };
        let other = spawn(&shared, move |shared| lock(shared, [2, 1]));
        lock(&shared, [1, 2]);
        join([other]);
        shared.assert_nothing_left();
    });
}
