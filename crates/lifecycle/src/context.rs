use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{FailureReporter, LifecycleHandle};

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

    /// The way to report that the running service has failed.
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
