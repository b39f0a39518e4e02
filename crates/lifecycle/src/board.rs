use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant};

use crate::{
    Health, LifecycleHandle, ServiceState,
    snapshot::{Phase, ServiceSnapshot},
};

/// The one place that writes the snapshot of a lifecycle.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) handle: LifecycleHandle,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Board {
    pub(crate) fn new(handle: LifecycleHandle, clock: Arc<dyn Clock>) -> Self {
        Self { handle, clock }
    }

    /// Every service is stopped; their names and whether they are required.
    pub(crate) fn list(&self, services: impl Iterator<Item = (Arc<str>, bool)>) {
        let since = self.clock.wall();
        self.handle.update(|snapshot| {
            snapshot.services = services
                .map(|(name, required)| ServiceSnapshot {
                    name,
                    required,
                    state: ServiceState::Stopped,
                    since,
                    detail: None,
                })
                .collect();
        });
    }

    /// A run begins: nothing of an earlier one is left to see.
    pub(crate) fn begin(&self) {
        let now = self.clock.wall();
        self.handle.update(|snapshot| {
            snapshot.phase = Phase::Starting;
            snapshot.draining = false;
            for service in &mut snapshot.services {
                service.enter(ServiceState::Pending, None, now);
            }
        });
    }

    /// A run is over: what never had its turn will not get it.
    pub(crate) fn end(&self) {
        let now = self.clock.wall();
        self.handle.update(|snapshot| {
            snapshot.phase = Phase::Stopped;
            for service in &mut snapshot.services {
                if service.state == ServiceState::Pending {
                    service.enter(ServiceState::Stopped, None, now);
                }
            }
        });
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.handle.update(|snapshot| snapshot.phase = phase);
    }

    pub(crate) fn draining(&self) {
        self.handle.update(|snapshot| snapshot.draining = true);
    }

    pub(crate) fn state(&self, index: usize, state: ServiceState, detail: Option<Arc<str>>) {
        let now = self.clock.wall();
        self.handle
            .update(|snapshot| snapshot.services[index].enter(state, detail, now));
    }

    pub(crate) fn health(&self, index: usize, health: Health) {
        let now = self.clock.wall();
        self.handle
            .update(|snapshot| snapshot.services[index].apply(health, now));
    }

    pub(crate) fn since(&self, begun: Instant) -> Duration {
        let now = self.clock.monotonic();
        now.saturating_duration_since(begun)
    }

    pub(crate) fn read(&self, index: usize) -> ServiceState {
        self.handle.snapshot().services[index].state
    }
}
