//! The invariants that hold whatever happens.

use std::{sync::Mutex, time::Duration};

use steadfast_lifecycle::{ServiceState, Status, StopError, test_util::Event};
use tokio::time::Instant;

use super::plan::{Dep, Plan, index, name};
use crate::support::App;

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Out,
    Entered,
    Up,
    Stopping,
}

/// Walks through all that happened in the life of an application that has ended.
pub(super) async fn check(plan: &Plan, app: &App) {
    let events = app.journal.events();
    let last_stops = last_stops(app, &events).await;
    let mut at = vec![At::Out; plan.nodes.len()];
    let mut ever_entered = vec![false; plan.nodes.len()];
    for (place, event) in events.iter().enumerate() {
        let told = || format!("event {place} of {events:?}");
        match event {
            Event::StartEntered(name) => {
                let index = index(name);
                assert_eq!(at[index], At::Out, "entered twice: {}", told());
                for (dependency, kind) in plan.nodes[index].deps.iter().enumerate() {
                    match kind {
                        Dep::None => {}
                        Dep::Hard => assert_eq!(at[dependency], At::Up, "{}", told()),
                        Dep::Soft => assert!(
                            at[dependency] == At::Up
                                || !plan.is_calm(dependency)
                                || ever_entered[index],
                            "started before a soft dependency was up: {}",
                            told()
                        ),
                    }
                }
                at[index] = At::Entered;
                ever_entered[index] = true;
            }
            Event::Started(name) => at[index(name)] = At::Up,
            Event::StopEntered(name) => {
                let index = index(name);
                assert!(
                    matches!(at[index], At::Entered | At::Up),
                    "stopped not once: {}",
                    told()
                );
                for (follower, node) in plan.nodes.iter().enumerate() {
                    let kind = node.deps.get(index).copied().unwrap_or(Dep::None);
                    let is_strict = kind == Dep::Hard || place >= last_stops || plan.is_calm(index);
                    if kind != Dep::None && is_strict {
                        assert_eq!(
                            at[follower],
                            At::Out,
                            "a dependency stopped first: {}",
                            told()
                        );
                    }
                }
                // Whether it ends is told by an event only if it ends well.
                let ends = events[place..]
                    .iter()
                    .position(|it| *it == Event::Stopped(name.clone()));
                let again = events[place..]
                    .iter()
                    .position(|it| *it == Event::StartEntered(name.clone()));
                let ends_well = ends.is_some_and(|ends| again.is_none_or(|again| ends < again));
                at[index] = if ends_well { At::Stopping } else { At::Out };
            }
            Event::Stopped(name) => at[index(name)] = At::Out,
        }
        let stopping = at.iter().filter(|at| **at == At::Stopping).count();
        assert!(stopping <= 1, "two are being stopped at once: {}", told());
        if matches!(event, Event::StartEntered(_)) {
            assert_eq!(stopping, 0, "started while another is stopped: {}", told());
        }
    }
    assert!(
        at.iter().all(|at| *at == At::Out),
        "{at:?} after {events:?}"
    );
    check_parallel(plan, &events);
    assert_eq!(app.lifecycle.snapshot().status, Status::Stopped);
}

/// From which event on each stop belongs to that of the whole. Its first may have been at work
/// before, for a restart, and is not told apart.
async fn last_stops(app: &App, events: &[Event]) -> usize {
    let report = match app.lifecycle.stop().await {
        Ok(report) | Err(StopError::ServicesFailed { report }) => report,
        Err(error) => panic!("another error: {error}"),
    };
    let is_stop = |event: &Event| matches!(event, Event::StopEntered(_));
    let stops = (0..events.len())
        .rev()
        .filter(|&place| is_stop(&events[place]));
    let known = report.services.len().saturating_sub(1);
    stops.take(known).last().unwrap_or(events.len())
}

/// Counts those starts under way that end with an event; the others are not seen to end.
fn check_parallel(plan: &Plan, events: &[Event]) {
    let mut starting = 0;
    for (place, event) in events.iter().enumerate() {
        match event {
            Event::StartEntered(name) => {
                let of_this = |event: &&Event| matches!(event, Event::Started(it) | Event::StopEntered(it) if it == name);
                let next = events[place..].iter().find(of_this);
                if matches!(next, Some(Event::Started(_))) {
                    starting += 1;
                    assert!(starting <= plan.parallel, "too many at once: {events:?}");
                }
            }
            Event::Started(_) => starting -= 1,
            Event::StopEntered(_) | Event::Stopped(_) => {}
        }
    }
}

/// Writes down when services are restarted; never returns.
pub(super) async fn restarts(app: &App, plan: &Plan, seen: &Mutex<Vec<Vec<Instant>>>) {
    *seen.lock().expect("no panic") = vec![Vec::new(); plan.nodes.len()];
    let mut snapshots = app.lifecycle.subscribe();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        for service in &snapshot.services {
            let times = &mut seen.lock().expect("no panic")[index(&service.name)];
            let restarts = usize::try_from(service.restarts).expect("few");
            if restarts > times.len() {
                times.resize(restarts, now());
            }
        }
        snapshots.changed().await.expect("the lifecycle lives");
    }
}

#[expect(clippy::disallowed_methods, reason = "reads tokio's paused time")]
fn now() -> Instant {
    Instant::now()
}

/// No window of time has more restarts than the service's policy allows.
pub(super) fn check_intensity(plan: &Plan, seen: &[Vec<Instant>]) {
    for (node, times) in plan.nodes.iter().zip(seen) {
        let Some(intensity) = node.restarts else {
            assert!(times.is_empty(), "restarted without a policy");
            continue;
        };
        let max = usize::try_from(intensity.max_restarts).expect("few");
        for (first, last) in times.iter().zip(times.iter().skip(max)) {
            let apart: Duration = *last - *first;
            assert!(apart >= intensity.within, "{intensity:?}: {times:?}");
        }
    }
}

/// Once nothing fails any more, what can be up is up, and what is not has a reason.
pub(super) fn check_settled(plan: &Plan, app: &App) {
    let snapshot = app.lifecycle.snapshot();
    if snapshot.status == Status::Stopped {
        return;
    }
    let state = |index: usize| snapshot.service(&name(index)).expect("known").state;
    for (index, node) in plan.nodes.iter().enumerate() {
        let missing = node.deps.iter().enumerate().any(|(dependency, kind)| {
            *kind == Dep::Hard && state(dependency) != ServiceState::Running
        });
        match state(index) {
            ServiceState::Running => assert!(!missing, "up without a dependency: {snapshot:?}"),
            ServiceState::Skipped => assert!(missing, "skipped for nothing: {snapshot:?}"),
            ServiceState::Failed => assert!(node.optional, "goes on without: {snapshot:?}"),
            other => panic!("{other:?} is not an end: {snapshot:?}"),
        }
    }
}
