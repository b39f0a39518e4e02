use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant};

use crate::{
    Alert, Health, LifecycleHandle, ServiceState,
    snapshot::{Phase, ServiceSnapshot, Snapshot},
};

/// The one place that writes the snapshot of a lifecycle.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    pub(crate) handle: LifecycleHandle,
    pub(crate) clock: Arc<dyn Clock>,
    /// How many failures in a row raise an alert.
    failure_threshold: u32,
}

impl Board {
    pub(crate) fn new(
        handle: LifecycleHandle,
        clock: Arc<dyn Clock>,
        failure_threshold: u32,
    ) -> Self {
        Self {
            handle,
            clock,
            failure_threshold,
        }
    }

    /// Every service is stopped; their names and whether they are required.
    pub(crate) fn list(&self, services: impl Iterator<Item = (Arc<str>, bool)>) {
        let since = self.clock.wall();
        let services = services.map(|(name, required)| ServiceSnapshot {
            name,
            required,
            state: ServiceState::Stopped,
            since,
            detail: None,
            failures: 0,
            last_error: None,
            restarts: 0,
        });
        self.handle.replace(Snapshot::stopped(services));
    }

    /// A run begins: nothing of an earlier one is left to see.
    pub(crate) fn begin(&self) {
        let now = self.clock.wall();
        self.handle.update(|snapshot| {
            snapshot.phase(Phase::Starting);
            snapshot.draining(false);
            for index in 0..snapshot.services().len() {
                snapshot.change(index, |service| {
                    service.enter(ServiceState::Pending, None, now);
                    service.restarts = 0;
                });
            }
        });
    }

    /// A run is over: what waits for its turn will not get it.
    pub(crate) fn end(&self) {
        let now = self.clock.wall();
        self.handle.update(|snapshot| {
            snapshot.phase(Phase::Stopped);
            for index in 0..snapshot.services().len() {
                let state = snapshot.services()[index].state;
                if matches!(state, ServiceState::Pending | ServiceState::Restarting) {
                    snapshot.change(index, |service| {
                        service.enter(ServiceState::Stopped, None, now);
                    });
                }
            }
        });
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.handle.update(|snapshot| snapshot.phase(phase));
    }

    pub(crate) fn draining(&self) {
        self.handle.update(|snapshot| snapshot.draining(true));
    }

    pub(crate) fn state(&self, index: usize, state: ServiceState, detail: Option<Arc<str>>) {
        let now = self.clock.wall();
        self.handle
            .update(|snapshot| snapshot.change(index, |service| service.enter(state, detail, now)));
    }

    /// The start of a service is entered, again because it had failed if `restarted`.
    pub(crate) fn starting(&self, index: usize, restarted: bool) {
        let now = self.clock.wall();
        self.handle.update(|snapshot| {
            snapshot.change(index, |service| {
                service.enter(ServiceState::Starting, None, now);
                service.restarts = service.restarts.saturating_add(u32::from(restarted));
            });
        });
    }

    /// The service failed, which leaves it in `state`.
    pub(crate) fn failed(&self, index: usize, state: ServiceState, error: Arc<str>) {
        let now = self.clock.wall();
        let threshold = self.failure_threshold;
        let alert = self.handle.update(|snapshot| {
            snapshot.change(index, |service| service.fail(state, error, now, threshold))
        });
        self.tell(alert);
    }

    /// A probe's answer.
    pub(crate) fn health(&self, index: usize, health: Health) {
        let now = self.clock.wall();
        let threshold = self.failure_threshold;
        let alert = self.handle.update(|snapshot| {
            snapshot.change(index, |service| service.apply(health, now, threshold))
        });
        self.tell(alert);
    }

    fn tell(&self, alert: Option<Alert>) {
        if let Some(alert) = alert {
            alert.log();
            self.handle.raise(alert);
        }
    }

    pub(crate) fn since(&self, begun: Instant) -> Duration {
        let now = self.clock.monotonic();
        now.saturating_duration_since(begun)
    }

    pub(crate) fn read(&self, index: usize) -> ServiceState {
        self.handle.snapshot().services[index].state
    }
}
