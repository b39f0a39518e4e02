//! What can be seen of a lock.

use std::sync::Arc;

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{AsyncLock, AsyncLockSnapshot, MAX_LISTED, PrimitiveState, Registry};

use super::{granted, queued};
use crate::support::{EPOCH, Random, ReentrantKey, millis, poll};

fn registered(registry: &Registry) -> AsyncLockSnapshot {
    match registry.snapshot().remove(0).state {
        PrimitiveState::AsyncLock(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn snapshot_tells_who_holds_who_waits_where_and_since_when() {
    let (clock, registry) = (Arc::new(ManualClock::new(EPOCH)), Registry::new());
    let builder = AsyncLock::builder().name("users").show_keys();
    let builder = builder.clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let lock = builder.registry(&registry).build().unwrap();

    let held = lock.try_lock("alice").unwrap();
    let held_at = line!() - 1;
    let mut first = queued(&lock, "alice");
    clock.advance(millis(20));
    let _second = queued(&lock, "alice");
    clock.advance(millis(10));

    let seen = registered(&registry);
    assert_eq!((seen.locked, seen.waiting, seen.acquired), (1, 2, 1));
    let key = &seen.keys[0];
    assert_eq!(key.key.as_deref(), Some("\"alice\""));
    assert_eq!(key.holder.location().line(), held_at);
    assert_eq!((key.held_for, key.waiters), (Some(millis(30)), 2));
    assert_eq!(key.longest_wait, Some(millis(30)));
    let waits: Vec<_> = key.queue.iter().map(|queued| queued.waited).collect();
    assert_eq!(waits, [millis(30), millis(10)]);
    assert!(key.queue[0].caller.to_string().contains("async_lock.rs:"));
    assert_eq!(lock.inspect(&"alice").as_ref(), Some(key));

    drop(held);
    assert_eq!(lock.snapshot().keys[0].held_for, None);
    clock.advance(millis(5));
    let _held = granted(&mut first);
    let seen = lock.snapshot();
    assert_eq!((seen.waiting, seen.acquired), (1, 2));
    // From the grant on.
    assert_eq!(seen.keys[0].held_for, Some(millis(5)));
    assert_eq!(seen.keys[0].longest_wait, Some(millis(15)));
}

#[test]
fn snapshot_lists_the_longest_waited_for_and_then_the_longest_held_up_to_its_bound() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = AsyncLock::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let lock = builder.show_keys().build().unwrap();
    let mut keys: Vec<usize> = (0..1_000).collect();
    Random::seeded().shuffle(&mut keys);
    let mut held = Vec::new();
    for key in &keys {
        held.push(lock.try_lock(*key).unwrap());
        assert!(lock.is_locked(key), "measured from here on");
        clock.advance(millis(1));
    }
    let late = queued(&lock, keys[999]);
    clock.advance(millis(1));
    let later = queued(&lock, keys[500]);

    let seen = lock.snapshot();
    assert_eq!((seen.locked, seen.waiting), (1_000, 2));
    let listed: Vec<_> = seen.keys.iter().filter_map(|key| key.key.clone()).collect();
    let expected = [&keys[999], &keys[500]]
        .into_iter()
        .chain(&keys)
        .take(MAX_LISTED);
    assert_eq!(
        listed,
        expected.map(ToString::to_string).collect::<Vec<_>>()
    );
    drop((late, later));
}

#[test]
fn keys_are_shown_only_if_allowed_and_outside_of_locks() {
    let lock = AsyncLock::builder().build().unwrap();
    let _held = lock.try_lock("secret").unwrap();
    assert_eq!(lock.snapshot().keys[0].key, None);
    assert!(!format!("{:?}", lock.snapshot()).contains("secret"));

    let builder = AsyncLock::<ReentrantKey>::builder();
    let lock = Arc::new(builder.show_keys().build().unwrap());
    let key = || ReentrantKey {
        name: 1,
        lock: Some(Arc::clone(&lock)),
    };
    let held = lock.try_lock(key()).unwrap();
    assert_eq!(lock.snapshot().keys[0].key.as_deref(), Some("ReentrantKey"));
    assert!(lock.inspect(&key()).unwrap().key.is_some());
    drop(held);
}

#[test]
fn threads_may_look_while_others_lock_and_unlock() {
    let registry = Registry::new();
    let builder = AsyncLock::builder().name("busy").show_keys();
    let lock = builder.registry(&registry).build().unwrap();
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for round in 0..2_000_u32 {
                    let mut wait = Box::pin(lock.lock(round % 3));
                    let _ = poll(&mut wait);
                }
            });
        }
        for _ in 0..500 {
            let seen = registered(&registry);
            assert!(seen.keys.len() <= 3, "{seen:?}");
        }
    });
    let seen = lock.snapshot();
    assert_eq!((seen.locked, seen.waiting), (0, 0));
    assert!(seen.keys.is_empty() && seen.acquired > 0);
}
