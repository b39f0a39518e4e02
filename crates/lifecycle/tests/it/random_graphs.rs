//! Random graphs of services that fail, hang, panic and are stopped at any moment.

use std::{future::Future, sync::Arc, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};
use steadfast_lifecycle::{
    ServiceSpec, Signal, StartError, StartOutcome, Status,
    test_util::{Event, ManualSignals, Step},
};
use tokio::{join, time::sleep};

use crate::support::{App, MS, SEC, parallel_app};

const MAX_SERVICES: usize = 9;

/// One service of a plan; it may depend only on services that come before it in the plan.
#[derive(Clone, Debug)]
struct Node {
    /// For each service before it: no dependency, soft, or hard.
    deps: Vec<Dep>,
    optional: bool,
    start: Step,
    stop: Step,
    /// When it reports that it has failed for good, if its start has been entered by then.
    fails_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dep {
    None,
    Soft,
    Hard,
}

#[derive(Clone, Debug)]
struct Plan {
    nodes: Vec<Node>,
    /// The order of registration.
    registered: Vec<usize>,
    stop_at: Duration,
    /// How many may be starting at once.
    parallel: usize,
}

fn moment(max: u64) -> impl Strategy<Value = Duration> {
    (0..max).prop_map(Duration::from_millis)
}

/// Mostly steps that work, so that graphs come up far enough to be interesting.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Succeed),
        6 => moment(40).prop_map(Step::After),
        1 => select(vec![Step::Fail, Step::Panic, Step::Hang, Step::AwaitCancel]),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let dep = prop_oneof![3 => Just(Dep::None), 1 => Just(Dep::Soft), 1 => Just(Dep::Hard)];
    (
        vec(dep, MAX_SERVICES),
        any::<bool>(),
        step(),
        step(),
        option::weighted(0.1, moment(300)),
    )
        .prop_map(|(deps, optional, start, stop, fails_at)| Node {
            deps,
            optional,
            start,
            stop,
            fails_at,
        })
}

fn plan() -> impl Strategy<Value = Plan> {
    vec(node(), 1..=MAX_SERVICES)
        .prop_flat_map(|nodes| {
            let registered = Just((0..nodes.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(nodes), registered, moment(400))
        })
        .prop_map(|(mut nodes, registered, stop_at)| {
            for index in 0..nodes.len() {
                nodes[index].deps.truncate(index);
                // What needs an optional service is optional too.
                let deps = nodes[index].deps.clone();
                nodes[index].optional |= (0..index)
                    .any(|dependency| deps[dependency] == Dep::Hard && nodes[dependency].optional);
            }
            Plan {
                nodes,
                registered,
                stop_at,
                parallel: 1,
            }
        })
}

fn name(index: usize) -> Arc<str> {
    format!("s{index}").into()
}

fn build(plan: &Plan) -> App {
    let specs = plan.registered.iter().map(|&index| {
        let node = &plan.nodes[index];
        let mut spec = ServiceSpec::new(name(index))
            .start_timeout(150 * MS)
            .stop_timeout(100 * MS);
        for (dependency, kind) in node.deps.iter().enumerate() {
            spec = match kind {
                Dep::None => spec,
                Dep::Soft => spec.wants(name(dependency)),
                Dep::Hard => spec.requires(name(dependency)),
            };
        }
        if node.optional { spec.optional() } else { spec }
    });
    let app = parallel_app(plan.parallel, specs);
    for (index, node) in plan.nodes.iter().enumerate() {
        app.service(&name(index))
            .set_start(node.start)
            .set_stop(node.stop);
    }
    app
}

async fn reports(plan: &Plan, app: &App) {
    let mut moments: Vec<_> = plan
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| Some((node.fails_at?, index)))
        .collect();
    moments.sort_unstable();
    let mut passed = Duration::ZERO;
    for (at, index) in moments {
        sleep(at - passed).await;
        passed = at;
        app.service(&name(index))
            .report_failure("failed as planned");
    }
}

/// The invariants that hold whatever happens.
fn check(plan: &Plan, app: &App) {
    let events = app.journal.events();
    let places = |wanted: &Event| -> Vec<usize> {
        let found = events
            .iter()
            .enumerate()
            .filter(|(_, event)| *event == wanted);
        found.map(|(place, _)| place).collect()
    };
    for (index, node) in plan.nodes.iter().enumerate() {
        let entered = places(&Event::StartEntered(name(index)));
        let stopped = places(&Event::StopEntered(name(index)));
        assert!(entered.len() <= 1, "started twice: {events:?}");
        assert_eq!(entered.len(), stopped.len(), "stopped not once: {events:?}");
        let (Some(&entered), Some(&stopped)) = (entered.first(), stopped.first()) else {
            continue;
        };
        assert!(entered < stopped, "{events:?}");
        for (dependency, kind) in node.deps.iter().enumerate() {
            if *kind == Dep::None {
                continue;
            }
            let dependency_stopped = places(&Event::StopEntered(name(dependency)));
            if let Some(&dependency_stopped) = dependency_stopped.first() {
                assert!(
                    stopped < dependency_stopped,
                    "a dependency stopped first: {events:?}"
                );
            }
            if let (Some(done), Some(dependency_stopped)) = (
                places(&Event::Stopped(name(index))).first(),
                dependency_stopped.first(),
            ) {
                assert!(
                    done < dependency_stopped,
                    "a dependency did not wait: {events:?}"
                );
            }
            let tried = places(&Event::StartEntered(name(dependency)));
            assert!(
                tried.first().is_none_or(|tried| *tried < entered),
                "started before a dependency was tried: {events:?}"
            );
            let comes_up = matches!(plan.nodes[dependency].start, Step::Succeed | Step::After(_));
            let up = places(&Event::Started(name(dependency)));
            assert!(
                !comes_up || tried.is_empty() || up.first().is_some_and(|up| *up < entered),
                "started before a soft dependency was up: {events:?}"
            );
            if *kind == Dep::Hard {
                assert!(
                    up.first().is_some_and(|up| *up < entered),
                    "started before a hard dependency was up: {events:?}"
                );
            }
        }
    }
    check_parallel(plan, &events);
    assert_eq!(app.lifecycle.snapshot().status, Status::Stopped);
}

/// Counts those starts under way that end with an event; the others are not seen to end.
fn check_parallel(plan: &Plan, events: &[Event]) {
    let mut starting = 0;
    for event in events {
        match event {
            Event::StartEntered(name) => {
                let index: usize = name[1..].parse().expect("a number");
                if matches!(plan.nodes[index].start, Step::Succeed | Step::After(_)) {
                    starting += 1;
                    assert!(starting <= plan.parallel, "too many at once: {events:?}");
                }
            }
            Event::Started(_) => starting -= 1,
            Event::StopEntered(_) => break,
            Event::Stopped(_) => {}
        }
    }
}

/// Runs a property with one start at a time, with two and with eight.
fn in_each_mode<F: Future<Output = ()>>(plan: Plan, property: impl Fn(Plan) -> F) {
    for parallel in [1, 2, 8] {
        let plan = Plan {
            parallel,
            ..plan.clone()
        };
        in_virtual_time(property(plan));
    }
}

fn in_virtual_time(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn order_holds_and_each_entered_service_stops_once_whenever_it_is_stopped(plan in plan()) {
        in_each_mode(plan, |plan| async move {
            let app = build(&plan);
            let (outcome, (), _) = join!(app.lifecycle.start(), reports(&plan, &app), async {
                sleep(plan.stop_at).await;
                app.lifecycle.stop().await
            });
            check(&plan, &app);
            match outcome {
                Ok(report) => {
                    for start in &report.services {
                        let index: usize = start.name[1..].parse().expect("a number");
                        let started = matches!(start.outcome, StartOutcome::Started);
                        assert!(started || plan.nodes[index].optional);
                    }
                }
                Err(
                    StartError::RequiredFailed { rollback, .. }
                    | StartError::TimedOut { rollback, .. }
                    | StartError::Stopped { rollback },
                ) => assert_eq!(rollback.services.len(), app.journal.starts().len()),
                Err(error) => panic!("another error: {error}"),
            }
        });
    }

    #[test]
    fn order_holds_and_each_entered_service_stops_once_whenever_it_is_signalled(plan in plan()) {
        in_each_mode(plan, |plan| async move {
            let app = build(&plan);
            let (sender, mut signals) = ManualSignals::new();
            let (outcome, (), ()) = join!(
                app.lifecycle.run_until_stopped_by(&mut signals, 50 * MS),
                reports(&plan, &app),
                async {
                    sleep(plan.stop_at).await;
                    sender.raise(Signal::Terminate);
                    sleep(20 * MS).await;
                    sender.raise(Signal::Interrupt);
                },
            );
            let exit_code = outcome.map_or_else(|error| error.exit_code(), |_| 0);
            assert!(exit_code <= 1);
            check(&plan, &app);
        });
    }

    #[test]
    fn service_set_that_failed_starts_again_once_it_works(plan in plan()) {
        in_each_mode(plan, |plan| async move {
            let app = build(&plan);
            let _ = app.lifecycle.start().await;
            let _ = app.lifecycle.stop().await;
            for service in &app.services {
                service.set_start(Step::Succeed).set_stop(Step::Succeed);
            }
            assert!(app.lifecycle.start().await.expect("all work").is_complete());
            assert_eq!(app.lifecycle.snapshot().status, Status::Running);
            sleep(SEC).await;
            assert!(app.lifecycle.stop().await.expect("all work").is_clean());
        });
    }
}
