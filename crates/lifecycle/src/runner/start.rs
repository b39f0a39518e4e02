use std::{collections::BTreeMap, future::ready, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use steadfast_clock::Instant;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{CANCEL_GRACE, Entered, Runner, log};
use crate::{
    FailureReporter, Fault, ServiceStart, ServiceState, StartContext, StartOutcome, StartReport,
    call::within,
    graph::{Node, Turns},
};

/// What ended the start of the whole before it was complete.
pub(super) enum Abort {
    Stopped,
    TimedOut { index: usize },
    RequiredFailed { index: usize, fault: Fault },
}

/// A start of the whole that is at work.
struct Starting {
    turns: Turns,
    /// Starts that have been polled and have not returned, by their place in [`Runner::entered`].
    under_way: BTreeMap<usize, UnderWay>,
    calls: FuturesUnordered<BoxFuture<'static, (usize, Result<(), Fault>)>>,
    report: StartReport,
}

struct UnderWay {
    index: usize,
    begun: Instant,
}

impl Runner {
    /// Starts every service once its dependencies are settled, so many at a time as is allowed.
    pub(super) async fn start_all(&mut self) -> Result<StartReport, Abort> {
        let mut starting = Starting {
            turns: self.graph.turns(),
            under_way: BTreeMap::new(),
            calls: FuturesUnordered::new(),
            report: StartReport::default(),
        };
        match self.start_each(&mut starting).await {
            Ok(()) => Ok(starting.report),
            Err(abort) => {
                self.give_up(starting, &abort).await;
                Err(abort)
            }
        }
    }

    async fn start_each(&mut self, starting: &mut Starting) -> Result<(), Abort> {
        let mut over = pin!(sleep(self.limits.start_timeout));
        loop {
            while starting.under_way.len() < self.limits.parallel_starts
                && let Some(index) = starting.turns.next()
            {
                self.enter(starting, index)?;
            }
            let Some(longest) = starting.under_way.values().next() else {
                return Ok(());
            };
            let longest = longest.index;
            tokio::select! {
                biased;
                Some((place, outcome)) = starting.calls.next() => {
                    self.settle(starting, place, outcome)?;
                }
                () = self.stop.cancelled() => return Err(Abort::Stopped),
                () = &mut over => return Err(Abort::TimedOut { index: longest }),
                Some((index, error)) = self.failures.recv() => {
                    if self.note_failure(index, &error) {
                        return Err(Abort::RequiredFailed { index, fault: Fault::Failed(error) });
                    }
                }
            }
        }
    }

    /// Enters the start of one service, or skips it.
    fn enter(&mut self, starting: &mut Starting, index: usize) -> Result<(), Abort> {
        let graph = Arc::clone(&self.graph);
        let node = &graph.nodes[index];
        if let Some(dependency) = self.missing_dependency(node) {
            let detail = format!("dependency `{dependency}` is not up");
            self.board
                .state(index, ServiceState::Skipped, Some(detail.into()));
            self.note(
                starting,
                index,
                StartOutcome::Skipped { dependency },
                Duration::ZERO,
            );
            return Ok(());
        }
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
        let begun = self.board.clock.monotonic();
        let place = self.entered.len();
        self.entered.push(Entered { index, token });
        starting.under_way.insert(place, UnderWay { index, begun });
        let service = Arc::clone(&node.service);
        let start = within(
            node.spec.start_timeout,
            async move { service.start(cx).await },
        );
        let mut call = start.map(move |outcome| (place, outcome)).boxed();
        // Polled here, so that a service that counts as entered has been.
        match (&mut call).now_or_never() {
            Some((place, outcome)) => self.settle(starting, place, outcome),
            // Its next poll, which comes at once, leaves the waker.
            None => {
                starting.calls.push(call);
                Ok(())
            }
        }
    }

    fn missing_dependency(&self, node: &Node) -> Option<Arc<str>> {
        let snapshot = self.board.handle.snapshot();
        node.requires
            .iter()
            .map(|&dependency| &snapshot.services[dependency])
            .find(|dependency| !dependency.state.is_up())
            .map(|dependency| Arc::clone(&dependency.name))
    }

    /// What the outcome of one start means for the whole.
    fn settle(
        &self,
        starting: &mut Starting,
        place: usize,
        outcome: Result<(), Fault>,
    ) -> Result<(), Abort> {
        let Some(UnderWay { index, begun }) = starting.under_way.remove(&place) else {
            return Ok(());
        };
        let outcome = match outcome {
            Ok(()) => {
                // It may have reported a failure before it returned.
                if self.board.read(index) == ServiceState::Starting {
                    self.board.state(index, ServiceState::Running, None);
                }
                StartOutcome::Started
            }
            Err(fault) => {
                self.entered[place].token.cancel();
                self.board.failed(index, fault.to_string().into());
                if self.graph.nodes[index].spec.required {
                    return Err(Abort::RequiredFailed { index, fault });
                }
                StartOutcome::Failed(fault)
            }
        };
        let elapsed = self.board.since(begun);
        self.note(starting, index, outcome, elapsed);
        Ok(())
    }

    /// A service is settled: those that waited for it may have their turn.
    fn note(
        &self,
        starting: &mut Starting,
        index: usize,
        outcome: StartOutcome,
        elapsed: Duration,
    ) {
        let node = &self.graph.nodes[index];
        log::start(node, &outcome, elapsed);
        starting.turns.settled(&self.graph, index);
        starting.report.services.push(ServiceStart {
            name: Arc::clone(&node.spec.name),
            outcome,
            elapsed,
        });
    }

    /// Cancels the starts under way, and leaves them their grace.
    async fn give_up(&self, starting: Starting, abort: &Abort) {
        let nodes = &self.graph.nodes;
        let under_way: Vec<&str> = starting
            .under_way
            .values()
            .map(|start| &*nodes[start.index].spec.name)
            .collect();
        match abort {
            Abort::Stopped => tracing::info!(?under_way, "start given up: asked to stop"),
            Abort::TimedOut { .. } => {
                tracing::error!(?under_way, "start given up: no time left for the whole");
            }
            Abort::RequiredFailed { index, fault } => {
                let service = &*nodes[*index].spec.name;
                tracing::error!(service, ?under_way, %fault, "start given up: required service failed");
            }
        }
        for &place in starting.under_way.keys() {
            self.entered[place].token.cancel();
        }
        // Whether they use their grace well makes no difference: they are stopped next.
        let _ = timeout(CANCEL_GRACE, starting.calls.for_each(|_| ready(()))).await;
    }
}
