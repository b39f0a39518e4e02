//! What the registry and a watch see of a cell, and how it is kept in step.

use std::{future::pending, sync::Arc};

use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{ConfigError, InitCell, InitState, PrimitiveState, Registry};

use super::Cell;
use crate::support::{Boxed, EPOCH, Warnings, millis, poll};

/// State, age in milliseconds, attempts, failures.
fn seen(registry: &Registry) -> (InitState, Option<u128>, u64, u64) {
    match &registry.snapshot()[0].state {
        PrimitiveState::InitCell(seen) => {
            let age = seen.age.map(|age| age.as_millis());
            (seen.state, age, seen.attempts, seen.failures)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn snapshot_follows_every_transition() {
    let (registry, clock) = (Registry::new(), Arc::new(ManualClock::new(EPOCH)));
    let builder = Cell::builder().name("pool").registry(&registry);
    let cell = builder.clock(clock.clone()).build().unwrap();
    clock.advance(millis(5));
    assert_eq!(seen(&registry), (InitState::Idle, Some(5), 0, 0));

    let mut attempt: Boxed<'_, _> = Box::pin(cell.get_or_init(|_| pending()));
    assert!(poll(&mut attempt).is_pending());
    clock.advance(millis(7));
    assert_eq!(seen(&registry), (InitState::Initialising(1), Some(7), 1, 0));
    drop(attempt);
    assert_eq!(seen(&registry), (InitState::Idle, Some(0), 1, 0));

    cell.get_or_init(async |_| Err("no")).await.unwrap_err();
    clock.advance(millis(1));
    assert_eq!(seen(&registry), (InitState::Failed(2), Some(1), 2, 1));
    cell.get_or_init(async |_| panic!("no")).await.unwrap_err();
    assert_eq!(seen(&registry), (InitState::Failed(3), Some(0), 3, 2));

    cell.get_or_init(async |_| Ok(4)).await.unwrap();
    assert_eq!(seen(&registry), (InitState::Ready(4), Some(0), 4, 2));
    clock.advance(millis(9));
    cell.get_or_init(async |_| Ok(5)).await.unwrap();
    assert_eq!(seen(&registry), (InitState::Ready(4), Some(9), 4, 2));
    cell.reset();
    assert_eq!(seen(&registry), (InitState::Idle, Some(0), 4, 2));
    drop(cell);
    assert!(registry.snapshot().is_empty());
}

#[tokio::test]
async fn cell_without_a_name_tells_all_but_ages() {
    static CELL: Cell = Cell::new();
    CELL.get_or_init(async |_| Err("no")).await.unwrap_err();
    let seen = CELL.snapshot();
    assert_eq!((seen.state, seen.age), (InitState::Failed(1), None));
    assert_eq!((seen.attempts, seen.failures, CELL.name()), (1, 1, ""));
}

#[tokio::test(start_paused = true)]
async fn watch_reports_each_long_attempt_once() {
    let registry = Registry::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::ticking(EPOCH));
    let builder = Cell::builder().name("pool").registry(&registry);
    let cell = builder.clock(clock).long_hold(millis(50)).build().unwrap();
    let warnings = Warnings::record();
    for generation in 1..=2 {
        tokio::select! {
            _ = cell.get_or_init(|_| pending()) => panic!("the attempt never ends"),
            never = registry.watch(millis(10)).unwrap() => match never {},
            () = tokio::time::sleep(millis(200)) => {}
        }
        let warning = warnings.take_one();
        assert!(warning.contains("initialisation takes long"), "{warning}");
        assert!(
            warning.contains(&format!("generation={generation}")),
            "{warning}"
        );
    }
}

#[test]
fn builder_refuses_what_cannot_work() {
    let builder = InitCell::<(), ()>::builder().long_hold(millis(0));
    let refused = builder.build().unwrap_err();
    assert_eq!(refused, ConfigError::Zero { field: "long_hold" });
}
