use std::sync::Arc;

use super::{
    Runner, Slot,
    call::{Call, Kind},
    log,
};
use crate::{Fault, ServiceState, ServiceStop, StopReport, snapshot::Phase};

impl Runner {
    /// Ends the call at work, then stops everything that is entered, the last first, past errors
    /// and panics.
    pub(super) async fn stop_all(&mut self) -> StopReport {
        self.board.phase(Phase::Stopping);
        let mut report = StopReport::default();
        if let Some(mut call) = self.doing.take() {
            if let Some(token) = &self.slots[call.index].token {
                token.cancel();
            }
            let fault = (&mut call.outcome).await.err();
            if call.kind == Kind::Stop {
                report
                    .services
                    .push(self.stopped(&call, fault, ServiceState::Failed));
            }
        }
        while let Some(index) = self.next_to_stop(|_| true) {
            let before = self.board.handle.snapshot().services[index].clone();
            let mut call = self.stop(index);
            self.board.state(index, ServiceState::Stopping, None);
            let fault = (&mut call.outcome).await.err();
            if fault.is_none() {
                let (state, detail) = match before.state {
                    ServiceState::Failed => (ServiceState::Failed, before.detail.clone()),
                    _ => (ServiceState::Stopped, None),
                };
                self.board.state(index, state, detail);
            }
            let entry = self.stopped(&call, fault, ServiceState::Failed);
            report.services.push(entry);
        }
        self.board.end();
        report
    }

    /// Takes the service out of what is entered that is to be stopped next: of those `wanted` the
    /// one entered last on which no other of them depends.
    pub(super) fn next_to_stop(&mut self, wanted: impl Fn(&Slot) -> bool) -> Option<usize> {
        let open = |index: usize| self.slots[index].token.is_some() && wanted(&self.slots[index]);
        let place = self.entered.iter().rposition(|&index| {
            let mut followers = self.graph.followers(index).iter();
            open(index) && !followers.any(|&follower| open(follower))
        })?;
        Some(self.entered.remove(place))
    }

    /// Notes the end of a stop; one that failed leaves the service in `state`.
    pub(super) fn stopped(
        &self,
        call: &Call,
        fault: Option<Fault>,
        state: ServiceState,
    ) -> ServiceStop {
        let node = &self.graph.nodes[call.index];
        if let Some(fault) = &fault {
            let error = format!("stop: {fault}");
            self.board.failed(call.index, state, error.into());
        }
        let elapsed = self.board.since(call.begun);
        log::stop(node, fault.as_ref(), elapsed);
        ServiceStop {
            name: Arc::clone(&node.spec.name),
            fault,
            elapsed,
        }
    }
}
