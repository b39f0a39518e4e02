use std::{mem, sync::Arc, time::SystemTime};

use crate::{Alert, Health, HealthStatus};

/// How the application and each of its services were at one moment.
///
/// Reading one takes no lock and never waits for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The application as a whole.
    pub status: Status,
    /// Each service, in the order of registration.
    pub services: Vec<Arc<ServiceSnapshot>>,
    phase: Phase,
    draining: bool,
    counts: Counts,
}

/// How one service was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceSnapshot {
    /// The service.
    pub name: Arc<str>,
    /// Whether the application cannot be without it.
    pub required: bool,
    /// Where it stands.
    pub state: ServiceState,
    /// Since when it is in this state, by the wall clock.
    pub since: SystemTime,
    /// What is wrong, for people.
    pub detail: Option<Arc<str>>,
    /// How often it failed in a row: starts and stops that failed, failures that it reported, and
    /// probes that found it unhealthy, since the last probe that did not. A new run does not reset
    /// it.
    pub failures: u32,
    /// The last of its failures, also when it works again.
    pub last_error: Option<Arc<str>>,
    /// How often it was started again in this run because it had failed. Those times at which it
    /// only followed a dependency do not count.
    pub restarts: u32,
}

/// The application as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Nothing is up: not started yet, stopped, or rolled back.
    Stopped,
    /// Services are being started.
    Starting,
    /// Every service is up and healthy.
    Running,
    /// At work with less than everything: an optional service is missing, or a service is not
    /// entirely well.
    Degraded,
    /// Up, but a required service does not work.
    Unhealthy,
    /// Still serving, about to stop: no new work, please.
    Draining,
    /// Services are being stopped.
    Stopping,
}

/// Where one service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceState {
    /// Its turn to start has not come.
    Pending,
    /// Its start was entered.
    Starting,
    /// Up; healthy by its last probe, if there was one.
    Running,
    /// Up; degraded by its last probe.
    Degraded,
    /// Up; unhealthy by its last probe, or the probe failed.
    Unhealthy,
    /// Failed, or stands on a hard dependency that did: it is being stopped, or waits to be started
    /// again.
    Restarting,
    /// Failed for good: in its start, in its stop, or by its own report.
    Failed,
    /// Not started, because a hard dependency is not up.
    Skipped,
    /// Its stop was entered.
    Stopping,
    /// Stopped.
    Stopped,
}

/// Where the run is; together with the services' states it makes the [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Stopped,
    Starting,
    Running,
    Stopping,
}

impl Snapshot {
    /// Whether the process is worth keeping alive: false before the first start and once all is
    /// stopped. Never looks at a service.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.status != Status::Stopped
    }

    /// Whether new work is welcome: every required service is up and works, and nobody asked to
    /// stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.status, Status::Running | Status::Degraded)
    }

    /// Whether a stop was asked for: true from the first signal until the next start.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The service named `name`, if there is one.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceSnapshot> {
        let mut services = self.services.iter().map(|service| &**service);
        services.find(|service| &*service.name == name)
    }

    /// Nothing runs.
    pub(crate) fn stopped(services: impl IntoIterator<Item = ServiceSnapshot>) -> Self {
        let services: Vec<_> = services.into_iter().map(Arc::new).collect();
        let mut counts = Counts::default();
        for service in &services {
            counts.add(service);
        }
        Self {
            status: Status::Stopped,
            services,
            phase: Phase::Stopped,
            draining: false,
            counts,
        }
    }

    /// Becomes like `newer`, from which it differs in the entries that `changed` lists.
    pub(crate) fn catch_up(&mut self, newer: &Self, changed: &[usize]) {
        for &index in changed {
            self.services[index].clone_from(&newer.services[index]);
        }
        self.status = newer.status;
        self.phase = newer.phase;
        self.draining = newer.draining;
        self.counts = newer.counts;
    }

    fn current_status(&self) -> Status {
        match self.phase {
            Phase::Stopped => Status::Stopped,
            Phase::Stopping => Status::Stopping,
            Phase::Starting | Phase::Running if self.draining => Status::Draining,
            Phase::Starting => Status::Starting,
            Phase::Running => self.running_status(),
        }
    }

    fn running_status(&self) -> Status {
        if self.counts.broken > 0 {
            Status::Unhealthy
        } else if self.counts.not_running > 0 {
            Status::Degraded
        } else {
            Status::Running
        }
    }
}

/// A snapshot that is being changed.
pub(crate) struct Draft<'a> {
    snapshot: &'a mut Snapshot,
    /// The entries that were changed.
    changed: &'a mut Vec<usize>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(snapshot: &'a mut Snapshot, changed: &'a mut Vec<usize>) -> Self {
        Self { snapshot, changed }
    }

    pub(crate) fn services(&self) -> &[Arc<ServiceSnapshot>] {
        &self.snapshot.services
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        self.snapshot.phase = phase;
    }

    pub(crate) fn draining(&mut self, draining: bool) {
        self.snapshot.draining = draining;
    }

    /// Changes one service; the others are shared with older snapshots.
    pub(crate) fn change<R>(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut ServiceSnapshot) -> R,
    ) -> R {
        self.changed.push(index);
        let service = Arc::make_mut(&mut self.snapshot.services[index]);
        self.snapshot.counts.remove(service);
        let result = change(service);
        self.snapshot.counts.add(service);
        result
    }

    pub(crate) fn finish(self) {
        self.snapshot.status = self.snapshot.current_status();
    }
}

/// How many services keep the application from being well, so that no change has to look at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Required services that do not work.
    broken: usize,
    not_running: usize,
}

impl Counts {
    fn add(&mut self, service: &ServiceSnapshot) {
        self.broken += usize::from(service.is_broken());
        self.not_running += usize::from(service.state != ServiceState::Running);
    }

    fn remove(&mut self, service: &ServiceSnapshot) {
        self.broken -= usize::from(service.is_broken());
        self.not_running -= usize::from(service.state != ServiceState::Running);
    }
}

impl ServiceSnapshot {
    fn is_broken(&self) -> bool {
        self.required && !matches!(self.state, ServiceState::Running | ServiceState::Degraded)
    }

    pub(crate) fn enter(&mut self, state: ServiceState, detail: Option<Arc<str>>, now: SystemTime) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        self.detail = detail;
    }

    /// Notes a failure that leads to `state`; returns what is to be told.
    pub(crate) fn fail(
        &mut self,
        state: ServiceState,
        error: Arc<str>,
        now: SystemTime,
        threshold: u32,
    ) -> Option<Alert> {
        self.enter(state, Some(Arc::clone(&error)), now);
        self.count(error, threshold)
    }

    /// Takes a probe's answer, unless the service is no longer up; returns what is to be told.
    pub(crate) fn apply(
        &mut self,
        health: Health,
        now: SystemTime,
        threshold: u32,
    ) -> Option<Alert> {
        if !self.state.is_up() {
            return None;
        }

        let state = match health.status {
            HealthStatus::Healthy => ServiceState::Running,
            HealthStatus::Degraded => ServiceState::Degraded,
            HealthStatus::Unhealthy => ServiceState::Unhealthy,
        };
        let detail: Option<Arc<str>> = health.detail.map(Arc::from);
        self.enter(state, detail.clone(), now);
        if state == ServiceState::Unhealthy {
            return self.count(detail.unwrap_or_else(|| "unhealthy".into()), threshold);
        }
        let failures = mem::take(&mut self.failures);
        (failures >= threshold).then(|| Alert::Recovered {
            service: Arc::clone(&self.name),
            failures,
        })
    }

    fn count(&mut self, error: Arc<str>, threshold: u32) -> Option<Alert> {
        self.last_error = Some(Arc::clone(&error));
        self.failures = self.failures.saturating_add(1);
        (self.failures == threshold).then(|| Alert::FailsRepeatedly {
            service: Arc::clone(&self.name),
            failures: threshold,
            error,
        })
    }
}

impl ServiceState {
    /// Whether the service is at work, however well.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Degraded | Self::Unhealthy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    const STATES: [ServiceState; 10] = [
        ServiceState::Pending,
        ServiceState::Starting,
        ServiceState::Running,
        ServiceState::Degraded,
        ServiceState::Unhealthy,
        ServiceState::Restarting,
        ServiceState::Failed,
        ServiceState::Skipped,
        ServiceState::Stopping,
        ServiceState::Stopped,
    ];

    fn service(required: bool) -> ServiceSnapshot {
        ServiceSnapshot {
            name: "a".into(),
            required,
            state: ServiceState::Stopped,
            since: SystemTime::UNIX_EPOCH,
            detail: None,
            failures: 0,
            last_error: None,
            restarts: 0,
        }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_all_services_after_any_changes(
            required in vec(any::<bool>(), 5),
            changes in vec((0..5_usize, select(&STATES[..])), 0..50),
        ) {
            let mut snapshot = Snapshot::stopped(required.into_iter().map(service));
            for (index, state) in changes {
                let mut changed = Vec::new();
                let mut draft = Draft::new(&mut snapshot, &mut changed);
                draft.change(index, |service| {
                    service.enter(state, None, SystemTime::UNIX_EPOCH);
                });
                let mut counts = Counts::default();
                for service in &snapshot.services {
                    counts.add(service);
                }
                prop_assert_eq!(snapshot.counts, counts);
            }
        }
    }
}
