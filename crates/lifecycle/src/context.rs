use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{LifecycleHandle, ServiceError};

/// What a service gets when it is started.
#[derive(Clone, Debug)]
pub struct StartContext {
    cancellation: CancellationToken,
    failure: FailureReporter,
    lifecycle: LifecycleHandle,
}

impl StartContext {
    pub(crate) fn new(
        cancellation: CancellationToken,
        failure: FailureReporter,
        lifecycle: LifecycleHandle,
    ) -> Self {
        Self {
            cancellation,
            failure,
            lifecycle,
        }
    }

    /// A context that belongs to no lifecycle, to drive a service by hand or in a test:
    /// cancelled by `cancellation`, and with nobody to hear of failures.
    #[must_use]
    pub fn detached(cancellation: CancellationToken) -> Self {
        Self::new(
            cancellation,
            FailureReporter::detached(),
            LifecycleHandle::detached(),
        )
    }

    /// Cancelled when the start is given up, and at the latest when the stop of this service
    /// begins, so that background tasks of the service may watch it.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// The way to report that the running service has failed for good.
    #[must_use]
    pub fn failure_reporter(&self) -> FailureReporter {
        self.failure.clone()
    }

    /// The application's snapshot and its request to stop.
    #[must_use]
    pub fn lifecycle(&self) -> &LifecycleHandle {
        &self.lifecycle
    }
}

/// What a service gets when it is stopped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StopContext {
    /// How long the stop may take; the future is dropped after that.
    pub timeout: Duration,
}

impl StopContext {
    /// A context for a stop that may take `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout }
    }
}

/// Reports that a running service has failed for good.
///
/// If the service is required, the application stops with an error that names it; if it is
/// optional, the application is degraded. The first report of a run counts, later ones and those
/// that come after the run have no effect.
#[derive(Clone, Debug)]
pub struct FailureReporter {
    index: usize,
    reported: Arc<AtomicBool>,
    reports: mpsc::Sender<Failure>,
}

/// A report on its way to the run: which service, and what it said.
pub(crate) type Failure = (usize, ServiceError);

impl FailureReporter {
    /// `reports` must have room for one report a service, since each reporter sends at most one.
    pub(crate) fn new(index: usize, reports: mpsc::Sender<Failure>) -> Self {
        Self {
            index,
            reported: Arc::default(),
            reports,
        }
    }

    fn detached() -> Self {
        Self::new(0, mpsc::channel(1).0)
    }

    /// Reports the failure; never blocks.
    pub fn failed(&self, error: ServiceError) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            // An error means that the run is over, where a report has nothing left to tell.
            let _ = self.reports.try_send((self.index, error));
        }
    }
}
