//! Who holds, who waits, and what takes long.

use std::{sync::Arc, task::Poll};

use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_sync::{MAX_LISTED, Registry, Semaphore};

use super::{assert_unused, granted, queued};
use crate::support::{EPOCH, Unread, Warnings, look, millis, poll};

/// A clock, a registry and a semaphore of ten permits that finds 100 ms long.
fn watched() -> (Arc<ManualClock>, Registry, Semaphore) {
    let (clock, registry) = (Arc::new(ManualClock::new(EPOCH)), Registry::new());
    let builder = Semaphore::builder(10)
        .name("workers")
        .long_hold(millis(100))
        .long_wait(millis(100))
        .registry(&registry)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>);
    (clock, registry, builder.build().unwrap())
}

#[test]
fn snapshot_tells_who_holds_how_many_permits_since_when() {
    let (clock, _registry, semaphore) = watched();
    let early = semaphore.try_acquire(4).unwrap();
    let early_at = line!() - 1;
    let unmeasured = semaphore.try_acquire(3).unwrap();
    clock.advance(millis(5));
    drop(unmeasured);
    // Measured from here on, because somebody waits.
    let mut wait = queued(&semaphore, 7);
    clock.advance(millis(20));
    let seen = semaphore.snapshot();
    assert_eq!((seen.in_use, seen.waiting, seen.acquired), (4, 1, 2));
    assert_eq!(seen.oldest_wait, Some(millis(20)));
    assert_eq!(seen.queue[0].waited, millis(20));
    assert!(seen.queue[0].caller.to_string().contains("semaphore.rs:"));
    let holder = &seen.holders[0];
    assert_eq!((seen.holders.len(), holder.permits), (1, 4));
    assert_eq!(holder.holder.location().line(), early_at);
    assert_eq!(holder.held_for, Some(millis(20)));

    drop(early);
    let seen = semaphore.snapshot();
    assert_eq!((seen.in_use, seen.waiting, seen.holders.len()), (7, 0, 1));
    assert_eq!(seen.holders[0].held_for, None, "it is yet to be polled");
    clock.advance(millis(5));
    let late = granted(&mut wait);
    let seen = semaphore.snapshot();
    assert_eq!(
        seen.holders[0].held_for,
        Some(millis(5)),
        "from the grant on"
    );
    assert_eq!(seen.acquired, 3);
    drop((late, wait));
    assert_unused(&semaphore);
}

#[test]
fn snapshot_lists_the_longest_holders_up_to_its_bound() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = Semaphore::builder(1_000).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let semaphore = builder.build().unwrap();
    let mut held = Vec::new();
    for permits in 1..=40 {
        held.push(semaphore.try_acquire(permits).unwrap());
        let _ = semaphore.snapshot();
        clock.advance(millis(1));
    }
    held.extend((0..100).map(|_| semaphore.try_acquire(1).unwrap()));
    let seen = semaphore.snapshot();
    assert_eq!(seen.holders.len(), MAX_LISTED);
    let first: Vec<_> = seen.holders.iter().take(40).map(|h| h.permits).collect();
    assert_eq!(first, (1..=40).collect::<Vec<_>>());
    drop(held);
    assert_unused(&semaphore);
}

#[tokio::test]
async fn free_permits_are_acquired_and_released_without_reading_the_clock() {
    let builder = Semaphore::builder(2).name("free").clock(Arc::new(Unread));
    let semaphore = builder.registry(&Registry::new()).build().unwrap();
    let held = semaphore.acquire(1).await.unwrap();
    drop(semaphore.acquire_timeout(1, millis(1)).await.unwrap());
    let deadline = SystemClock.monotonic();
    drop(semaphore.acquire_until(1, deadline).await.unwrap());
    drop(semaphore.acquire_owned_until(1, deadline).await.unwrap());
    drop(semaphore.try_acquire_owned(1).unwrap());
    drop(held);
    assert_unused(&semaphore);
}

#[test]
fn deadline_that_has_passed_refuses_a_wait_at_once_and_without_a_timer() {
    let (clock, _registry, semaphore) = watched();
    let deadline = clock.monotonic();
    let _held = semaphore.try_acquire(10).unwrap();
    let mut wait = Box::pin(semaphore.acquire_until(1, deadline));
    assert!(matches!(poll(&mut wait), Poll::Ready(Err(_))));
    let mut wait = Box::pin(semaphore.acquire_owned_until(1, deadline));
    assert!(matches!(poll(&mut wait), Poll::Ready(Err(_))));
    assert_eq!(semaphore.snapshot().timeouts, 2);
}

#[test]
fn long_holds_and_waits_are_reported_when_they_end() {
    let (clock, _registry, semaphore) = watched();
    let warnings = Warnings::record();
    let held = semaphore.try_acquire(8).unwrap();
    let mut long = queued(&semaphore, 3);
    clock.advance(millis(1));
    let mut short = queued(&semaphore, 7);
    clock.advance(millis(99));
    drop(held);
    let warning = warnings.take_one();
    for part in [
        "held for long",
        "name=\"workers\"",
        "held_for=100ms",
        "waiting=2",
    ] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    let long = granted(&mut long);
    let warning = warnings.take_one();
    assert!(warning.contains("waited for long") && warning.contains("waited=100ms"));
    let short = granted(&mut short);
    clock.advance(millis(99));
    drop((long, short));
    assert!(warnings.take().is_empty());
}

#[tokio::test]
async fn watch_reports_each_long_hold_and_wait_once_and_their_ends_do_not() {
    let (clock, registry, semaphore) = watched();
    let warnings = Warnings::record();
    let (a, b) = (
        semaphore.try_acquire(5).unwrap(),
        semaphore.try_acquire(5).unwrap(),
    );
    let mut wait = queued(&semaphore, 10);
    clock.advance(millis(100));
    look(&registry);
    let mut seen = warnings.take();
    seen.sort();
    assert_eq!(seen.len(), 3, "{seen:#?}");
    assert!(
        seen.iter()
            .filter(|line| line.contains("held for long"))
            .count()
            == 2
    );
    look(&registry);
    drop((a, b));
    drop(granted(&mut wait));
    assert!(warnings.take().is_empty());
}

#[tokio::test]
async fn grant_and_hold_are_reported_each_for_itself() {
    let (clock, registry, semaphore) = watched();
    let warnings = Warnings::record();
    let held = semaphore.try_acquire(10).unwrap();
    let mut wait = queued(&semaphore, 10);
    clock.advance(millis(99));
    drop(held);
    clock.advance(millis(1_000));
    look(&registry);
    assert!(warnings.take_one().contains("not polled"));
    let _held = granted(&mut wait);
    look(&registry);
    assert!(warnings.take_one().contains("held for long"));
}

#[tokio::test]
async fn watch_measures_holds_that_nobody_waits_behind() {
    let (clock, registry, semaphore) = watched();
    let warnings = Warnings::record();
    let held = semaphore.try_acquire(1).unwrap();
    look(&registry);
    clock.advance(millis(100));
    drop(held);
    assert!(warnings.take_one().contains("held_for=100ms"));
}

#[tokio::test]
async fn grant_that_was_given_up_is_not_reported() {
    let (clock, registry, semaphore) = watched();
    let held = semaphore.try_acquire(10).unwrap();
    let given_up = queued(&semaphore, 10);
    drop(held);
    drop(given_up);
    let warnings = Warnings::record();
    let _held = semaphore.try_acquire(1).unwrap();
    look(&registry);
    clock.advance(millis(1_000));
    look(&registry);
    assert!(warnings.take_one().contains("held for long"));
}
