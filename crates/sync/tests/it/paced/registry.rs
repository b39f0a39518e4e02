//! What can be seen of a named one, and what the watch reports.

use std::{future::pending, sync::Arc};

use steadfast_sync::{Debounce, KeyedThrottle, PacedSnapshot, PrimitiveState, Registry};
use tokio::time::advance;

use crate::support::{Boxed, Warnings, millis, poll};

fn only(registry: &Registry) -> (String, PacedSnapshot) {
    let mut seen = registry.snapshot();
    assert_eq!(seen.len(), 1);
    let seen = seen.remove(0);
    let (PrimitiveState::Debounce(state) | PrimitiveState::KeyedThrottle(state)) = seen.state
    else {
        panic!("{seen:?}");
    };
    (seen.name, state)
}

#[tokio::test(start_paused = true)]
async fn snapshot_tells_what_is_held_due_and_running() {
    let registry = Registry::new();
    let builder = Debounce::builder(millis(100))
        .name("save")
        .registry(&registry);
    let debounce = builder.build().unwrap();
    debounce.call(1).unwrap();
    advance(millis(30)).await;
    debounce.call(2).unwrap();
    advance(millis(10)).await;
    let (name, seen) = only(&registry);
    assert_eq!((&*name, seen.keys, seen.pending), ("save", 1, 1));
    assert_eq!(seen.held_for, Some(millis(40)));
    assert_eq!(seen.due_in, Some(millis(90)));
    assert_eq!((seen.running, seen.running_for), (0, None));
    assert!(!seen.is_driven && !seen.is_closed);

    let mut driver = Box::pin(debounce.drive(|_| pending()));
    debounce.flush();
    assert!(poll(&mut driver).is_pending());
    advance(millis(7)).await;
    let (_, seen) = only(&registry);
    assert_eq!((seen.running, seen.running_for), (1, Some(millis(7))));
    assert_eq!((seen.held_for, seen.due_in), (None, None));
    assert_eq!((seen.pending, seen.runs, seen.panics), (0, 1, 0));
    assert!(seen.is_driven);
    assert!(poll(&mut Box::pin(debounce.close())).is_pending());
    assert!(only(&registry).1.is_closed);
    drop(driver);
    drop(debounce);
    assert!(registry.snapshot().is_empty());
}

/// Looks at the registry, as a watch does once an interval.
fn look(registry: &Registry) {
    let mut watch: Boxed<'_, _> = Box::pin(registry.watch(millis(1)).unwrap());
    assert!(poll(&mut watch).is_pending());
}

#[tokio::test(start_paused = true)]
async fn long_runs_and_calls_that_nobody_runs_are_reported_once() {
    let (registry, warnings) = (Registry::new(), Warnings::record());
    let builder = Debounce::builder(millis(100))
        .name("save")
        .registry(&registry);
    let debounce = Arc::new(builder.long_hold(millis(50)).build().unwrap());
    debounce.call(1).unwrap();
    advance(millis(149)).await;
    look(&registry);
    assert!(warnings.take().is_empty());
    advance(millis(1)).await;
    look(&registry);
    let warning = warnings.take_one();
    for fact in [
        "a call is due and not run",
        "save",
        "50ms",
        "is_driven=false",
    ] {
        assert!(warning.contains(fact), "{warning}");
    }
    look(&registry);
    assert!(warnings.take().is_empty());

    let mut driver = Box::pin(debounce.drive(|_| pending()));
    assert!(poll(&mut driver).is_pending());
    advance(millis(49)).await;
    look(&registry);
    assert!(warnings.take().is_empty());
    advance(millis(1)).await;
    look(&registry);
    let warning = warnings.take_one();
    for fact in ["run takes long", "save", "50ms"] {
        assert!(warning.contains(fact), "{warning}");
    }
    look(&registry);
    drop(driver);
    assert!(warnings.take().is_empty(), "it was reported");

    // A driver that is there but not polled.
    debounce.call(2).unwrap();
    let mut driver = Box::pin(debounce.drive(|_| pending()));
    assert!(poll(&mut driver).is_pending());
    advance(millis(200)).await;
    look(&registry);
    assert!(warnings.take_one().contains("is_driven=true"));
}

#[tokio::test(start_paused = true)]
async fn watch_forgets_windows_that_have_ended_and_runs_that_end_late_are_reported() {
    let (registry, warnings) = (Registry::new(), Warnings::record());
    let builder = KeyedThrottle::builder(millis(100))
        .name("cars")
        .registry(&registry);
    let throttle = builder
        .long_hold(millis(50))
        .max_concurrency(40)
        .build()
        .unwrap();
    for key in 0..40 {
        throttle.call(key, ()).unwrap();
    }
    let mut driver = Box::pin(throttle.drive(|_, ()| tokio::time::sleep(millis(60))));
    assert!(poll(&mut driver).is_pending());
    assert_eq!(only(&registry).1.running, 40);
    advance(millis(60)).await;
    assert!(poll(&mut driver).is_pending());
    let late = warnings.take();
    assert_eq!(late.len(), 40);
    assert!(late[0].contains("run took long"), "{}", late[0]);
    drop(driver);
    advance(millis(40)).await;
    assert_eq!(throttle.len(), 40);
    look(&registry);
    assert_eq!(throttle.len(), 0);
    assert_eq!(only(&registry).1.runs, 40);
}
