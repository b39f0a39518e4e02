use std::{collections::BTreeSet, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::{call::Call, restart::Backoff, start::Abort};
use crate::{
    Health, StartError, StartReport, StopReport,
    board::Board,
    call::within,
    failure::Failures,
    graph::Graph,
    restart::History,
    run::{Cause, Ending, Limits},
    snapshot::Phase,
};

mod call;
mod log;
mod restart;
mod start;
mod stop;

pub use self::call::CANCEL_GRACE;

/// The task of one run: it alone starts, probes, restarts and stops, and owns what has been
/// entered.
pub(crate) struct Runner {
    graph: Arc<Graph>,
    board: Board,
    limits: Limits,
    stop: CancellationToken,
    failures: Arc<Failures>,
    /// By index.
    slots: Vec<Slot>,
    /// Every service whose start was entered and whose stop was not, in the order of entering.
    entered: Vec<usize>,
    /// How many starts were entered in this run.
    starts: u64,
    /// The call at work while the application runs: then they are made one at a time.
    doing: Option<Call>,
    /// How many services are [falling](Slot::falling).
    falling: usize,
    /// Rank and index of those that start once their dependencies are up.
    waiting: BTreeSet<(usize, usize)>,
    /// The backoffs at work, by index.
    backoffs: FuturesUnordered<BoxFuture<'static, usize>>,
}

/// What the run keeps of one service.
#[derive(Default)]
struct Slot {
    /// There is one while the service is entered.
    token: Option<CancellationToken>,
    /// The number of its start, while that is to be heard of; zero from its failure on.
    incarnation: u64,
    /// Whether it is to be stopped while the application goes on.
    falling: bool,
    backoff: Backoff,
    history: History,
}

impl Runner {
    pub(crate) fn new(
        graph: Arc<Graph>,
        board: Board,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        let slots = graph.nodes.iter().map(|_| Slot::default()).collect();
        Self {
            graph,
            board,
            limits,
            stop,
            failures: Arc::default(),
            slots,
            entered: Vec::new(),
            starts: 0,
            doing: None,
            falling: 0,
            waiting: BTreeSet::new(),
            backoffs: FuturesUnordered::new(),
        }
    }

    pub(crate) async fn run(
        mut self,
        started: watch::Sender<Option<Result<StartReport, StartError>>>,
        ended: watch::Sender<Option<Ending>>,
    ) {
        let (cause, stop) = match self.start_all().await {
            Ok(report) => {
                self.board.phase(Phase::Running);
                started.send_replace(Some(Ok(report)));
                let cause = self.serve().await;
                // From here on a new start waits for the end instead of joining this run.
                self.stop.cancel();
                let stop = self.stop_all().await;
                (cause, stop)
            }
            Err(abort) => {
                let rollback = self.stop_all().await;
                let error = self.start_error(abort, rollback.clone());
                (Cause::StartFailed(error), rollback)
            }
        };
        let failed = match &cause {
            Cause::StartFailed(error) => Some(error.clone()),
            _ => None,
        };
        ended.send_replace(Some(Ending { cause, stop }));
        // After the end: who has this may start anew at once.
        if let Some(error) = failed {
            started.send_replace(Some(Err(error)));
        }
    }

    /// Watches over the running application, and restarts what failed, until something ends it.
    async fn serve(&mut self) -> Cause {
        let mut ticks = interval(self.limits.probe_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probes = FuturesUnordered::new();
        loop {
            // First, so that nothing is started on what has failed.
            if let Some((index, fault)) = self.next_report() {
                if let Some(cause) = self.failed(index, fault) {
                    return cause;
                }
                continue;
            }
            self.next_call();
            let ended = tokio::select! {
                biased;
                () = self.stop.cancelled() => Some(Cause::StopAsked),
                () = self.failures.arrived() => None,
                outcome = call::outcome(&mut self.doing) => self.returned(outcome),
                Some(index) = self.backoffs.next() => {
                    self.slots[index].backoff = Backoff::Over;
                    None
                }
                Some(answer) = probes.next(), if !probes.is_empty() => {
                    if let Some((index, health)) = answer {
                        self.board.health(index, health);
                    }
                    None
                }
                // A round begins when the last one is over: at most one probe a service is open.
                _ = ticks.tick(), if probes.is_empty() => {
                    probes.extend(self.probes());
                    None
                }
            };
            if let Some(cause) = ended {
                return cause;
            }
        }
    }

    /// One probe for each service that is up; it ends without an answer when the service is
    /// stopped.
    fn probes(&self) -> Vec<BoxFuture<'static, Option<(usize, Health)>>> {
        let limit = self.limits.probe_timeout;
        let up = self
            .entered
            .iter()
            .copied()
            .filter(|&index| self.board.read(index).is_up());
        up.filter_map(|index| {
            let service = Arc::clone(&self.graph.nodes[index].service);
            let token = self.slots[index].token.clone()?;
            let probe = async move {
                let answer = within(limit, async move { Ok(service.health().await) });
                let answer = tokio::select! {
                    // An answer that comes with the stop is none, for the next start may be quick.
                    biased;
                    () = token.cancelled() => return None,
                    answer = answer => answer,
                };
                let health = answer
                    .unwrap_or_else(|fault| Health::unhealthy(format!("health probe {fault}")));
                Some((index, health))
            };
            Some(probe.boxed())
        })
        .collect()
    }

    fn start_error(&self, abort: Abort, rollback: StopReport) -> StartError {
        let name = |index: usize| Arc::clone(&self.graph.nodes[index].spec.name);
        match abort {
            Abort::Stopped => StartError::Stopped { rollback },
            Abort::TimedOut { index } => StartError::TimedOut {
                service: name(index),
                after: self.limits.start_timeout,
                rollback,
            },
            Abort::RequiredFailed { index, fault } => StartError::RequiredFailed {
                service: name(index),
                fault,
                rollback,
            },
        }
    }
}
