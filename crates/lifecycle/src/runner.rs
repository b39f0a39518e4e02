use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, Sleep, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    FailureReporter, Fault, Health, ServiceError, ServiceStart, ServiceState, ServiceStop,
    StartContext, StartError, StartOutcome, StartReport, StopContext, StopReport,
    board::Board,
    call::within,
    context::Failure,
    graph::{Graph, Node},
    run::{Cause, Ending, Limits},
    snapshot::Phase,
};

/// How long a start that is given up may take to return after its token was cancelled, before its
/// future is dropped.
pub const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// The task of one run: it alone starts, probes and stops, and owns what has been entered.
pub(crate) struct Runner {
    graph: Arc<Graph>,
    board: Board,
    limits: Limits,
    stop: CancellationToken,
    reports: mpsc::Sender<Failure>,
    failures: mpsc::Receiver<Failure>,
    /// Every service whose start was entered, in that order.
    entered: Vec<Entered>,
}

struct Entered {
    index: usize,
    token: CancellationToken,
}

/// What ended the start of the whole before it was complete.
enum Abort {
    Stopped,
    TimedOut { index: usize },
    RequiredFailed { index: usize, fault: Fault },
}

impl Runner {
    pub(crate) fn new(
        graph: Arc<Graph>,
        board: Board,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        // Room for one report a service, which is all that a reporter sends.
        let (reports, failures) = mpsc::channel(graph.nodes.len().max(1));
        Self {
            graph,
            board,
            limits,
            stop,
            reports,
            failures,
            entered: Vec::new(),
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
                started.send_replace(Some(Err(error.clone())));
                (Cause::StartFailed(error), rollback)
            }
        };
        ended.send_replace(Some(Ending { cause, stop }));
    }

    /// Starts one service after the other.
    async fn start_all(&mut self) -> Result<StartReport, Abort> {
        let graph = Arc::clone(&self.graph);
        let mut over = pin!(sleep(self.limits.start_timeout));
        let mut report = StartReport::default();
        for &index in &graph.order {
            let node = &graph.nodes[index];
            let begun = self.board.clock.monotonic();
            let outcome = match self.missing_dependency(node) {
                Some(dependency) => {
                    let detail = format!("dependency `{dependency}` is not up");
                    self.board
                        .state(index, ServiceState::Skipped, Some(detail.into()));
                    StartOutcome::Skipped { dependency }
                }
                None => {
                    let outcome = self.start_one(index, node, over.as_mut()).await;
                    outcome.inspect_err(|abort| log_abort(node, abort, self.board.since(begun)))?
                }
            };
            let elapsed = self.board.since(begun);
            log_start(node, &outcome, elapsed);
            report.services.push(ServiceStart {
                name: Arc::clone(&node.spec.name),
                outcome,
                elapsed,
            });
        }
        Ok(report)
    }

    fn missing_dependency(&self, node: &Node) -> Option<Arc<str>> {
        let snapshot = self.board.handle.snapshot();
        node.requires
            .iter()
            .map(|&dependency| &snapshot.services[dependency])
            .find(|dependency| !dependency.state.is_up())
            .map(|dependency| Arc::clone(&dependency.name))
    }

    async fn start_one(
        &mut self,
        index: usize,
        node: &Node,
        mut over: Pin<&mut Sleep>,
    ) -> Result<StartOutcome, Abort> {
        if self.stop.is_cancelled() {
            return Err(Abort::Stopped);
        }
        let token = CancellationToken::new();
        let cx = StartContext::new(
            token.clone(),
            FailureReporter::new(index, self.reports.clone()),
            self.board.handle.clone(),
        );
        self.board.state(index, ServiceState::Starting, None);
        self.entered.push(Entered {
            index,
            token: token.clone(),
        });
        let limit = node.spec.start_timeout;
        let service = Arc::clone(&node.service);
        let mut start = pin!(within(limit, async move { service.start(cx).await }));
        // The start comes first, so that a service that counts as entered has been polled.
        let abort = loop {
            tokio::select! {
                biased;
                outcome = &mut start => return self.settle(index, node, &token, outcome),
                () = self.stop.cancelled() => break Abort::Stopped,
                () = &mut over => break Abort::TimedOut { index },
                Some((failed, error)) = self.failures.recv() => {
                    if self.note_failure(failed, &error) {
                        break Abort::RequiredFailed { index: failed, fault: Fault::Failed(error) };
                    }
                }
            }
        };
        token.cancel();
        // Whether it used its grace well makes no difference: it is stopped next.
        let _ = timeout(CANCEL_GRACE, start).await;
        Err(abort)
    }

    /// What the outcome of one start means for the whole.
    fn settle(
        &self,
        index: usize,
        node: &Node,
        token: &CancellationToken,
        outcome: Result<(), Fault>,
    ) -> Result<StartOutcome, Abort> {
        let Err(fault) = outcome else {
            // It may have reported a failure before it returned.
            if self.board.read(index) == ServiceState::Starting {
                self.board.state(index, ServiceState::Running, None);
            }
            return Ok(StartOutcome::Started);
        };
        token.cancel();
        self.board.failed(index, fault.to_string().into());
        if node.spec.required {
            Err(Abort::RequiredFailed { index, fault })
        } else {
            Ok(StartOutcome::Failed(fault))
        }
    }

    /// Watches over the running application until something ends it.
    async fn serve(&mut self) -> Cause {
        let mut ticks = interval(self.limits.probe_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probes = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Cause::StopAsked,
                Some((index, error)) = self.failures.recv() => {
                    if self.note_failure(index, &error) {
                        let service = Arc::clone(&self.graph.nodes[index].spec.name);
                        return Cause::ServiceFailed { service, error };
                    }
                }
                Some((index, health)) = probes.next(), if !probes.is_empty() => {
                    self.board.health(index, health);
                }
                // A round begins when the last one is over: at most one probe a service is open.
                _ = ticks.tick(), if probes.is_empty() => probes.extend(self.probes()),
            }
        }
    }

    /// One probe for each service that is up.
    fn probes(&self) -> Vec<BoxFuture<'static, (usize, Health)>> {
        let limit = self.limits.probe_timeout;
        let up = self
            .entered
            .iter()
            .map(|entered| entered.index)
            .filter(|&index| self.board.read(index).is_up());
        up.map(|index| {
            let service = Arc::clone(&self.graph.nodes[index].service);
            async move {
                let answer = within(limit, async move { Ok(service.health().await) }).await;
                let health = answer
                    .unwrap_or_else(|fault| Health::unhealthy(format!("health probe {fault}")));
                (index, health)
            }
            .boxed()
        })
        .collect()
    }

    /// Notes a failure that a service reported of itself; true if it ends the run.
    fn note_failure(&self, index: usize, error: &ServiceError) -> bool {
        let spec = &self.graph.nodes[index].spec;
        tracing::error!(service = %spec.name, required = spec.required, %error, "service failed");
        self.board.failed(index, error.to_string().into());
        spec.required
    }

    /// Stops everything that was entered, the last first, past errors and panics.
    async fn stop_all(&mut self) -> StopReport {
        self.board.phase(Phase::Stopping);
        let mut report = StopReport::default();
        while let Some(Entered { index, token }) = self.entered.pop() {
            let node = &self.graph.nodes[index];
            let begun = self.board.clock.monotonic();
            let before = self.board.handle.snapshot().services[index].clone();
            self.board.state(index, ServiceState::Stopping, None);
            token.cancel();
            let limit = node.spec.stop_timeout;
            let service = Arc::clone(&node.service);
            let stop = async move { service.stop(StopContext::new(limit)).await };
            let fault = within(limit, stop).await.err();
            match &fault {
                Some(fault) => self.board.failed(index, format!("stop: {fault}").into()),
                None if before.state == ServiceState::Failed => {
                    let detail = before.detail.clone();
                    self.board.state(index, ServiceState::Failed, detail);
                }
                None => self.board.state(index, ServiceState::Stopped, None),
            }
            let elapsed = self.board.since(begun);
            log_stop(node, fault.as_ref(), elapsed);
            report.services.push(ServiceStop {
                name: Arc::clone(&node.spec.name),
                fault,
                elapsed,
            });
        }
        self.board.end();
        report
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

fn log_start(node: &Node, outcome: &StartOutcome, elapsed: Duration) {
    let service = &*node.spec.name;
    match outcome {
        StartOutcome::Started => tracing::info!(service, ?elapsed, "service started"),
        StartOutcome::Failed(fault) => {
            tracing::warn!(service, ?elapsed, %fault, "optional service failed to start");
        }
        StartOutcome::Skipped { dependency } => {
            tracing::warn!(service, %dependency, "service skipped");
        }
    }
}

fn log_abort(node: &Node, abort: &Abort, elapsed: Duration) {
    let service = &*node.spec.name;
    match abort {
        Abort::Stopped => tracing::info!(service, ?elapsed, "start given up: asked to stop"),
        Abort::TimedOut { .. } => {
            tracing::error!(
                service,
                ?elapsed,
                "start given up: no time left for the whole"
            );
        }
        Abort::RequiredFailed { fault, .. } => {
            tracing::error!(service, ?elapsed, %fault, "start given up: required service failed");
        }
    }
}

fn log_stop(node: &Node, fault: Option<&Fault>, elapsed: Duration) {
    let service = &*node.spec.name;
    match fault {
        None => tracing::info!(service, ?elapsed, "service stopped"),
        Some(fault) => tracing::error!(service, ?elapsed, %fault, "service failed to stop"),
    }
}
