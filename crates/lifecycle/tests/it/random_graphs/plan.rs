//! What the services of one case are like and what befalls them.

use std::{sync::Arc, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};
use steadfast_lifecycle::{RestartPolicy, ServiceError, ServiceSpec, test_util::Step};
use tokio::time::sleep;

use crate::support::{App, MS, parallel_app};

const MAX_SERVICES: usize = 9;

/// One service of a plan; it may depend only on services that come before it in the plan.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// For each service before it: no dependency, soft, or hard.
    pub(super) deps: Vec<Dep>,
    pub(super) optional: bool,
    pub(super) start: Step,
    stop: Step,
    pub(super) restarts: Option<Intensity>,
    /// What befalls it, and when.
    turns: Vec<(Duration, Turn)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dep {
    None,
    Soft,
    Hard,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Intensity {
    pub(super) max_restarts: u32,
    pub(super) within: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// It reports that it failed, if its start has been entered by then.
    Fails,
    /// It reports that it failed with something that will not pass.
    FailsForGood,
    /// Its starts go like this from now on.
    Starts(Step),
    /// Its stops go like this from now on.
    Stops(Step),
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Node>,
    /// The order of registration.
    pub(super) registered: Vec<usize>,
    pub(super) stop_at: Duration,
    /// How many may be starting at once.
    pub(super) parallel: usize,
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

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        12 => Just(Turn::Fails),
        1 => Just(Turn::FailsForGood),
        2 => step().prop_map(Turn::Starts),
        2 => step().prop_map(Turn::Stops),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let dep = prop_oneof![3 => Just(Dep::None), 1 => Just(Dep::Soft), 1 => Just(Dep::Hard)];
    let intensity = (1..6_u32, 50..600_u64).prop_map(|(max_restarts, within)| Intensity {
        max_restarts,
        within: Duration::from_millis(within),
    });
    (
        vec(dep, MAX_SERVICES),
        any::<bool>(),
        step(),
        step(),
        option::weighted(0.7, intensity),
        prop_oneof![3 => Just(0..1_usize), 1 => Just(1..6)]
            .prop_flat_map(|count| vec((moment(600), turn()), count)),
    )
        .prop_map(|(deps, optional, start, stop, restarts, turns)| Node {
            deps,
            optional,
            start,
            stop,
            restarts,
            turns,
        })
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    vec(node(), 1..=MAX_SERVICES)
        .prop_flat_map(|nodes| {
            let registered = Just((0..nodes.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(nodes), registered, moment(700), select(vec![1, 2, 8]))
        })
        .prop_map(|(mut nodes, registered, stop_at, parallel)| {
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
                parallel,
            }
        })
}

pub(super) fn name(index: usize) -> Arc<str> {
    format!("s{index}").into()
}

pub(super) fn index(name: &str) -> usize {
    name[1..].parse().expect("a number")
}

pub(super) fn build(plan: &Plan) -> App {
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
        if let Some(intensity) = node.restarts {
            spec = spec.restart(RestartPolicy::OnFailure {
                initial_delay: 10 * MS,
                max_delay: 40 * MS,
                max_restarts: intensity.max_restarts,
                within: intensity.within,
            });
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

/// Lets befall the services what is planned.
pub(super) async fn play(plan: &Plan, app: &App) {
    let mut turns: Vec<_> = plan
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.turns.iter().map(move |&(at, turn)| (at, index, turn)))
        .collect();
    turns.sort_by_key(|&(at, index, _)| (at, index));
    let mut passed = Duration::ZERO;
    for (at, index, turn) in turns {
        sleep(at - passed).await;
        passed = at;
        let name = name(index);
        let service = app.service(&name);
        match turn {
            Turn::Fails => service.report_failure("failed as planned"),
            Turn::FailsForGood => service.report(ServiceError::permanent("failed as planned")),
            Turn::Starts(step) => {
                service.set_start(step);
            }
            Turn::Stops(step) => {
                service.set_stop(step);
            }
        }
    }
}

impl Plan {
    /// All that a service cannot be without, itself included.
    fn needs(&self, index: usize) -> Vec<usize> {
        let mut needs = vec![index];
        let mut at = 0;
        while let Some(&need) = needs.get(at) {
            let deps = self.nodes[need].deps.iter().enumerate();
            let hard = deps.filter(|(_, kind)| **kind == Dep::Hard);
            needs.extend(hard.map(|(dependency, _)| dependency));
            at += 1;
        }
        needs
    }

    /// Whether a service cannot go down, or come up late, while the application runs.
    pub(super) fn is_calm(&self, index: usize) -> bool {
        self.needs(index).into_iter().all(|need| {
            let node = &self.nodes[need];
            node.turns.is_empty() && matches!(node.start, Step::Succeed | Step::After(_))
        })
    }
}
