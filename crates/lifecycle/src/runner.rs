use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use self::start::Abort;
use crate::{
    Health, ServiceError, ServiceState, ServiceStop, StartError, StartReport, StopContext,
    StopReport,
    board::Board,
    call::within,
    context::Failure,
    graph::Graph,
    run::{Cause, Ending, Limits},
    snapshot::Phase,
};

mod log;
mod start;

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
            log::stop(node, fault.as_ref(), elapsed);
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
