use std::{collections::BTreeMap, future::ready, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use steadfast_clock::Instant;
use tokio::time::sleep;

use super::{Runner, log, restart::missing};
use crate::{Fault, ServiceStart, ServiceState, StartOutcome, StartReport, graph::Turns};

/// What ended the start of the whole before it was complete.
pub(super) enum Abort {
    Stopped,
    TimedOut { index: usize },
    RequiredFailed { index: usize, fault: Fault },
}

/// A start of the whole that is at work.
struct Starting {
    turns: Turns,
    /// Starts that have been polled and have not returned, by their numbers.
    under_way: BTreeMap<u64, UnderWay>,
    calls: FuturesUnordered<BoxFuture<'static, (u64, Result<(), Fault>)>>,
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
            self.hear_in_start()?;
            while starting.under_way.len() < self.limits.parallel_starts
                && let Some(index) = starting.turns.next()
            {
                self.enter(starting, index)?;
                self.hear_in_start()?;
            }
            let Some(longest) = starting.under_way.values().next() else {
                // It may have been asked for while the last start was returning.
                let is_stopped = self.stop.is_cancelled();
                return if is_stopped {
                    Err(Abort::Stopped)
                } else {
                    Ok(())
                };
            };
            let longest = longest.index;
            tokio::select! {
                biased;
                Some((incarnation, outcome)) = starting.calls.next() => {
                    self.settle(starting, incarnation, outcome)?;
                }
                () = self.stop.cancelled() => return Err(Abort::Stopped),
                () = &mut over => return Err(Abort::TimedOut { index: longest }),
                () = self.failures.arrived() => {}
            }
        }
    }

    /// Enters the start of one service, or skips it.
    fn enter(&mut self, starting: &mut Starting, index: usize) -> Result<(), Abort> {
        if let Some(dependency) = self.missing_dependency(&self.graph.nodes[index]) {
            let detail = Some(missing(&dependency));
            self.board.state(index, ServiceState::Skipped, detail);
            // It has its turn if the dependency is restarted.
            self.wait(index);
            let outcome = StartOutcome::Skipped { dependency };
            self.note(starting, index, outcome, Duration::ZERO);
            return Ok(());
        }
        if self.stop.is_cancelled() {
            return Err(Abort::Stopped);
        }
        let call = self.start(index, false);
        let (incarnation, begun) = (self.starts, call.begun);
        starting
            .under_way
            .insert(incarnation, UnderWay { index, begun });
        let mut call = call
            .outcome
            .map(move |outcome| (incarnation, outcome))
            .boxed();
        // Polled here, so that a service that counts as entered has been.
        match (&mut call).now_or_never() {
            Some((incarnation, outcome)) => self.settle(starting, incarnation, outcome),
            // Its next poll, which comes at once, leaves the waker.
            None => {
                starting.calls.push(call);
                Ok(())
            }
        }
    }

    /// What the outcome of one start means for the whole.
    fn settle(
        &mut self,
        starting: &mut Starting,
        incarnation: u64,
        outcome: Result<(), Fault>,
    ) -> Result<(), Abort> {
        let Some(UnderWay { index, begun }) = starting.under_way.remove(&incarnation) else {
            return Ok(());
        };
        // It may have reported a failure before it returned, or a dependency may have.
        let is_heard = self.slots[index].incarnation == incarnation;
        let outcome = match outcome {
            Ok(()) => {
                if is_heard {
                    self.board.state(index, ServiceState::Running, None);
                }
                StartOutcome::Started
            }
            Err(fault) => {
                if is_heard {
                    self.failed_in_start(index, fault.clone())?;
                }
                StartOutcome::Failed(fault)
            }
        };
        let elapsed = self.board.since(begun);
        self.note(starting, index, outcome, elapsed);
        Ok(())
    }

    /// Hears all reports before the next service is entered, and before the start is complete.
    fn hear_in_start(&mut self) -> Result<(), Abort> {
        while let Some((index, fault)) = self.next_report() {
            self.failed_in_start(index, fault)?;
        }
        Ok(())
    }

    /// A service failed before the start of the whole was complete: one that is required ends it,
    /// whatever its restart policy.
    fn failed_in_start(&mut self, index: usize, fault: Fault) -> Result<(), Abort> {
        if self.graph.nodes[index].spec.required {
            let error = fault.to_string().into();
            self.board.failed(index, ServiceState::Failed, error);
            return Err(Abort::RequiredFailed { index, fault });
        }
        self.failed(index, fault);
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
    async fn give_up(&mut self, starting: Starting, abort: &Abort) {
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
        for start in starting.under_way.values() {
            if let Some(token) = &self.slots[start.index].token {
                token.cancel();
            }
        }
        // Whether they use their grace well makes no difference: they are stopped next.
        starting.calls.for_each(|_| ready(())).await;
    }
}
