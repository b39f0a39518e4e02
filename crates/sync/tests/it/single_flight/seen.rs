//! What the registry and a watch see of a group.

use std::{future::pending, sync::Arc};

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{ConfigError, PrimitiveState, Registry, SingleFlight, SingleFlightSnapshot};

use crate::support::{Boxed, EPOCH, Warnings, millis, poll};

type Group = SingleFlight<u8, u64, u8>;

fn seen(registry: &Registry) -> SingleFlightSnapshot {
    match &registry.snapshot()[0].state {
        PrimitiveState::SingleFlight(seen) => seen.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn snapshot_tells_flights_callers_age_and_totals() {
    let (registry, clock) = (Registry::new(), Arc::new(ManualClock::new(EPOCH)));
    let builder = Group::builder().name("pages").registry(&registry);
    let group = builder.clock(clock.clone()).build().unwrap();
    let run = |key| -> Boxed<'_, _> { Box::pin(group.run(key, pending)) };
    let (mut first, mut second, mut other) = (run(1), run(1), run(2));
    assert!(poll(&mut first).is_pending());
    clock.advance(millis(20));
    assert!(poll(&mut second).is_pending() && poll(&mut other).is_pending());
    clock.advance(millis(5));
    let now = seen(&registry);
    assert_eq!((now.in_flight, now.callers, now.unobserved), (2, 3, 0));
    assert_eq!(now.oldest, Some(millis(25)));
    drop((first, second, other));

    let mut fails: Boxed<'_, _> = Box::pin(group.run(1, async || Err(1)));
    assert!(poll(&mut fails).is_ready());
    let mut panics: Boxed<'_, _> = Box::pin(group.run(1, async || panic!("on purpose")));
    assert!(poll(&mut panics).is_ready());
    let now = seen(&registry);
    assert_eq!((now.in_flight, now.callers, now.oldest), (0, 0, None));
    assert_eq!((now.executed, now.joined), (4, 1));
    assert_eq!((now.failed, now.panicked), (1, 1));
    assert_eq!(now, group.snapshot());
}

#[tokio::test(start_paused = true)]
async fn watch_reports_a_long_flight_once() {
    let registry = Registry::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::ticking(EPOCH));
    let builder = Group::builder().name("pages").registry(&registry);
    let builder = builder.clock(clock).long_hold(millis(50));
    let group = builder.build().unwrap();
    let warnings = Warnings::record();
    let watched = async {
        tokio::select! {
            never = registry.watch(millis(10)).unwrap() => match never {},
            () = tokio::time::sleep(millis(45)) => {}
        }
        assert!(warnings.take().is_empty());
        tokio::select! {
            never = registry.watch(millis(10)).unwrap() => match never {},
            () = tokio::time::sleep(millis(100)) => {}
        }
    };
    tokio::select! {
        _ = group.run(1, pending) => panic!("the work never ends"),
        () = watched => {}
    }
    let warning = warnings.take_one();
    assert!(warning.contains("flight takes long"), "{warning}");
    assert!(
        warning.contains("pages") && warning.contains("callers=1"),
        "{warning}"
    );
}

#[test]
fn builder_refuses_what_cannot_work() {
    let refused = Group::builder().long_hold(millis(0)).build().unwrap_err();
    assert_eq!(refused, ConfigError::Zero { field: "long_hold" });
}
