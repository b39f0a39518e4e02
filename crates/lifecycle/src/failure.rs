use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use crate::ServiceError;

/// Reports that a running service has failed.
///
/// What comes of it is up to the service's [`RestartPolicy`](crate::RestartPolicy). If it is not
/// started again, the application stops with an error that names it if it is required; if it is
/// optional, the application is degraded, and services that require it are stopped and skipped.
/// Before the start of the application is complete, a report of a required service ends that start.
///
/// The first report after a start counts. Later ones have no effect, nor have those of an earlier
/// start: that service has been stopped since.
#[derive(Clone, Debug)]
pub struct FailureReporter {
    sender: Sender,
    reported: Arc<AtomicBool>,
    failures: Arc<Failures>,
}

/// Which start of which service a reporter belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) index: usize,
    /// The service's place in the order of dependencies.
    pub(crate) rank: usize,
    /// The number of the start.
    pub(crate) incarnation: u64,
}

/// Reports on their way to the run: at most one a service, the one of its latest start.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// By rank.
    waiting: Mutex<BTreeMap<usize, (Sender, ServiceError)>>,
    arrived: Notify,
}

impl FailureReporter {
    pub(crate) fn new(sender: Sender, failures: Arc<Failures>) -> Self {
        Self {
            sender,
            reported: Arc::default(),
            failures,
        }
    }

    pub(crate) fn detached() -> Self {
        let sender = Sender {
            index: 0,
            rank: 0,
            incarnation: 0,
        };
        Self::new(sender, Arc::default())
    }

    /// Reports the failure; never waits for the lifecycle.
    pub fn failed(&self, error: ServiceError) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            self.failures.add(self.sender, error);
        }
    }
}

impl Failures {
    fn add(&self, sender: Sender, error: ServiceError) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let known = waiting.get(&sender.rank);
            if known.is_some_and(|(known, _)| known.incarnation > sender.incarnation) {
                return;
            }
            waiting.insert(sender.rank, (sender, error));
        }
        self.arrived.notify_one();
    }

    /// Waits until a report has arrived since the last wait.
    ///
    /// # Cancel safety
    ///
    /// No arrival is lost by dropping the future.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The next report, if there is one; of those that wait, that of a dependency comes before
    /// those of its dependants, which it may explain.
    pub(crate) fn take(&self) -> Option<(Sender, ServiceError)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_first().map(|(_, report)| report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rank: usize, incarnation: u64) -> FailureReporter {
        let sender = Sender {
            index: 10 - rank,
            rank,
            incarnation,
        };
        FailureReporter::new(sender, Arc::default())
    }

    #[test]
    fn report_of_a_later_start_is_kept_and_those_of_dependencies_come_first() {
        let failures = Arc::new(Failures::default());
        for (rank, incarnation) in [(2, 3), (1, 7), (1, 5), (2, 4)] {
            let reporter = FailureReporter {
                failures: Arc::clone(&failures),
                ..report(rank, incarnation)
            };
            reporter.failed(ServiceError::transient("broken"));
        }
        let taken: Vec<_> = std::iter::from_fn(|| failures.take())
            .map(|(sender, _)| (sender.rank, sender.incarnation))
            .collect();
        assert_eq!(taken, [(1, 7), (2, 4)]);
    }
}
