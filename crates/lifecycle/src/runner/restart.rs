use std::{iter, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::sleep;

use super::{
    Runner,
    call::{Call, Kind},
    log,
};
use crate::{Fault, ServiceState, graph::Node, run::Cause};

/// Where a service is that is to be started again because it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Backoff {
    #[default]
    None,
    /// It waits so long once it is stopped.
    Ahead(Duration),
    /// It waits.
    AtWork,
    /// It has waited.
    Over,
}

impl Runner {
    /// Which service reported that it failed, unless the run is to stop. A report counts if it is
    /// of the latest start, and the first failure after it.
    pub(super) fn next_report(&self) -> Option<(usize, Fault)> {
        if self.stop.is_cancelled() {
            return None;
        }
        let mut reports = iter::from_fn(|| self.failures.take());
        let (sender, error) = reports
            .find(|(sender, _)| self.slots[sender.index].incarnation == sender.incarnation)?;
        Some((sender.index, Fault::Failed(error)))
    }

    /// A service failed. Either it is restarted, which its dependants are with it, or it has failed
    /// for good: then this returns what ends the run, or the dependants are skipped.
    pub(super) fn failed(&mut self, index: usize, fault: Fault) -> Option<Cause> {
        let graph = Arc::clone(&self.graph);
        let node = &graph.nodes[index];
        let now = self.board.clock.monotonic();
        let slot = &mut self.slots[index];
        let restarts = node.restarts.as_ref();
        let delay = restarts.and_then(|restarts| restarts.delay(&mut slot.history, &fault, now));
        log::failure(node, &fault, delay);
        self.give_up_start(index);
        self.slots[index].incarnation = 0;
        let error: Arc<str> = fault.to_string().into();
        if let Some(delay) = delay {
            self.board.failed(index, ServiceState::Restarting, error);
            self.slots[index].backoff = Backoff::Ahead(delay);
            self.fall(index);
            self.take_down_dependants(index, ServiceState::Restarting);
            return None;
        }
        self.board.failed(index, ServiceState::Failed, error);
        if node.spec.required {
            return Some(Cause::ServiceFailed {
                service: Arc::clone(&node.spec.name),
                restarts: self.board.handle.snapshot().services[index].restarts,
                fault,
            });
        }
        self.take_down_dependants(index, ServiceState::Skipped);
        None
    }

    /// Begins the next call if none is at work and the run goes on: the stop of a service that is
    /// falling, or else a start.
    pub(super) fn next_call(&mut self) {
        if self.doing.is_some() || self.stop.is_cancelled() {
            return;
        }
        if self.falling > 0 {
            let next = self.next_to_stop(|slot| slot.falling);
            self.doing = next.map(|index| self.stop(index));
        } else if let Some(index) = self.next_to_start() {
            let slot = &mut self.slots[index];
            let restarted = std::mem::take(&mut slot.backoff) == Backoff::Over;
            if restarted {
                slot.history.restarted(self.board.clock.monotonic());
            }
            self.doing = Some(self.start(index, restarted));
        }
    }

    /// The call at work has returned; returns what ends the run.
    pub(super) fn returned(&mut self, outcome: Result<(), Fault>) -> Option<Cause> {
        let call = self.doing.take()?;
        let index = call.index;
        match call.kind {
            Kind::Stop => {
                self.fallen(&call, outcome.err());
                None
            }
            // It failed meanwhile, or a dependency did.
            Kind::Start { incarnation } if self.slots[index].incarnation != incarnation => None,
            Kind::Start { .. } => match outcome {
                Ok(()) => {
                    let elapsed = self.board.since(call.begun);
                    log::restart(&self.graph.nodes[index], elapsed);
                    self.board.state(index, ServiceState::Running, None);
                    None
                }
                Err(fault) => self.failed(index, fault),
            },
        }
    }

    /// A service has been stopped while the application goes on.
    fn fallen(&mut self, call: &Call, fault: Option<Fault>) {
        let index = call.index;
        let state = self.board.read(index);
        self.stopped(call, fault, state);
        if state != ServiceState::Failed {
            self.wait(index);
        }
        if let Backoff::Ahead(delay) = self.slots[index].backoff {
            self.slots[index].backoff = Backoff::AtWork;
            self.backoffs
                .push(sleep(delay).map(move |()| index).boxed());
        }
    }

    /// The service starts once its dependencies are up.
    pub(super) fn wait(&mut self, index: usize) {
        self.waiting.insert((self.graph.nodes[index].rank, index));
    }

    /// Takes the service out of those that wait that is to be started next.
    fn next_to_start(&mut self) -> Option<usize> {
        let next = self.waiting.iter().copied().find(|&(_, index)| {
            self.slots[index].backoff != Backoff::AtWork
                && self.missing_dependency(&self.graph.nodes[index]).is_none()
        })?;
        self.waiting.remove(&next);
        Some(next.1)
    }

    pub(super) fn missing_dependency(&self, node: &Node) -> Option<Arc<str>> {
        let snapshot = self.board.handle.snapshot();
        node.requires
            .iter()
            .map(|&dependency| &snapshot.services[dependency])
            .find(|dependency| !dependency.state.is_up())
            .map(|dependency| Arc::clone(&dependency.name))
    }

    /// Has everything stopped that requires the service, and leaves it in `state`.
    fn take_down_dependants(&mut self, index: usize, state: ServiceState) {
        let graph = Arc::clone(&self.graph);
        let detail: Arc<str> = missing(&graph.nodes[index].spec.name);
        for dependant in graph.dependants(index) {
            self.give_up_start(dependant);
            self.fall(dependant);
            let before = self.board.read(dependant);
            let is_over = state == ServiceState::Skipped && before == ServiceState::Restarting;
            if before.is_up() || before == ServiceState::Starting || is_over {
                self.board
                    .state(dependant, state, Some(Arc::clone(&detail)));
            }
        }
    }

    /// The service is to be stopped, if it is entered, and no longer heard.
    fn fall(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.token.is_some() && !slot.falling {
            slot.falling = true;
            slot.incarnation = 0;
            self.falling += 1;
        }
    }

    fn give_up_start(&self, index: usize) {
        if self.board.read(index) == ServiceState::Starting
            && let Some(token) = &self.slots[index].token
        {
            token.cancel();
        }
    }
}

/// Why a service is not up that could be.
pub(super) fn missing(dependency: &str) -> Arc<str> {
    format!("dependency `{dependency}` is not up").into()
}
