//! Events of what takes long.

use std::sync::Arc;

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{AsyncLock, AsyncLockBuilder, Registry};

use super::{granted, queued};
use crate::support::{EPOCH, Warnings, look, millis, poll};

/// A clock, a registry and a lock that finds 100 ms long.
fn watched(
    configure: impl FnOnce(AsyncLockBuilder<u32>) -> AsyncLockBuilder<u32>,
) -> (Arc<ManualClock>, Registry, AsyncLock<u32>) {
    let (clock, registry) = (Arc::new(ManualClock::new(EPOCH)), Registry::new());
    let builder = AsyncLock::builder()
        .name("users")
        .long_hold(millis(100))
        .long_wait(millis(100))
        .registry(&registry)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let lock = configure(builder).build().unwrap();
    (clock, registry, lock)
}

#[test]
fn long_hold_is_reported_at_release_if_somebody_waited() {
    let (clock, _registry, lock) = watched(|lock| lock.long_wait(millis(1_000)));
    let warnings = Warnings::record();
    let held = lock.try_lock(1).unwrap();
    let unseen = lock.try_lock(2).unwrap();
    let mut wait = queued(&lock, 1);
    clock.advance(millis(100));
    drop((held, unseen));
    let warning = warnings.take_one();
    for part in [
        "held for long",
        "name=\"users\"",
        "overdue.rs",
        "held_for=100ms",
        "waiting=1",
    ] {
        assert!(warning.contains(part), "{part}: {warning}");
    }

    // Whoever waited is measured from the grant on.
    clock.advance(millis(50));
    let held = granted(&mut wait);
    clock.advance(millis(49));
    drop(held);
    assert!(warnings.take().is_empty());
}

#[tokio::test]
async fn long_hold_is_reported_once_by_a_watch_and_not_again_at_release() {
    let (clock, registry, lock) = watched(|lock| lock.show_keys());
    let warnings = Warnings::record();
    let held = lock.try_lock(7).unwrap();
    look(&registry);
    clock.advance(millis(99));
    look(&registry);
    assert!(warnings.take().is_empty());
    clock.advance(millis(1));
    look(&registry);
    look(&registry);
    let warning = warnings.take_one();
    assert!(
        warning.contains("key=7") && warning.contains("waiting=0"),
        "{warning}"
    );
    drop(held);
    assert!(warnings.take().is_empty());

    // The next hold of the key is another one.
    let _held = lock.try_lock(7).unwrap();
    look(&registry);
    clock.advance(millis(100));
    look(&registry);
    assert!(warnings.take_one().contains("held for long"));
}

#[test]
fn long_wait_is_reported_when_it_ends_with_the_key() {
    let (clock, _registry, lock) = watched(|lock| lock.long_hold(millis(1_000)));
    let warnings = Warnings::record();
    let held = lock.try_lock(1).unwrap();
    let (mut long, mut given_up) = (queued(&lock, 1), queued(&lock, 1));
    clock.advance(millis(1));
    let mut short = queued(&lock, 1);
    clock.advance(millis(99));
    drop(held);
    assert!(warnings.take().is_empty());
    let long = granted(&mut long);
    let warning = warnings.take_one();
    for part in [
        "waited for long",
        "name=\"users\"",
        "waited=100ms",
        "waiting=2",
    ] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    assert!(poll(&mut given_up).is_pending());
    drop((long, given_up));
    drop(granted(&mut short));
    assert!(warnings.take().is_empty());
}

#[tokio::test]
async fn long_wait_is_reported_once_by_a_watch_and_not_again_at_its_end() {
    let (clock, registry, lock) = watched(|lock| lock.long_hold(millis(1_000)));
    let warnings = Warnings::record();
    let held = lock.try_lock(1).unwrap();
    let (mut first, mut second) = (queued(&lock, 1), queued(&lock, 1));
    clock.advance(millis(100));
    look(&registry);
    look(&registry);
    let warning = warnings.take_one();
    assert!(warning.contains("waited=100ms"), "{warning}");
    assert!(
        warning.contains("waiting=2") && !warning.contains("key="),
        "{warning}"
    );
    drop(held);
    let first = granted(&mut first);
    assert!(warnings.take().is_empty());
    // Of a queue the head is reported.
    look(&registry);
    assert!(warnings.take_one().contains("waited for long"));
    drop(first);
    drop(granted(&mut second));
    assert!(warnings.take().is_empty());
}

#[tokio::test]
async fn hold_grant_and_next_hold_are_reported_each_for_itself() {
    let (clock, registry, lock) = watched(|lock| lock.long_wait(millis(10_000)));
    let warnings = Warnings::record();
    let held = lock.try_lock(1).unwrap();
    let mut wait = queued(&lock, 1);
    clock.advance(millis(100));
    look(&registry);
    assert!(warnings.take_one().contains("held for long"));
    drop(held);
    clock.advance(millis(1_000));
    look(&registry);
    assert!(warnings.take_one().contains("not polled"));
    let _held = granted(&mut wait);
    look(&registry);
    assert!(warnings.take_one().contains("held for long"));
}
