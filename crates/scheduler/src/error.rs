use std::{error::Error, time::Duration};

use crate::JobKey;

/// Why a run failed, as a [`JobHandler`](crate::JobHandler) reports it; opaque.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JobError(Box<dyn Error + Send + Sync>);

impl JobError {
    /// Wraps an error or a message.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Why a [`JobStore`](crate::JobStore) could not do an operation; opaque.
#[derive(Debug, thiserror::Error)]
#[error("the job store could not {operation}")]
pub struct StoreError {
    operation: &'static str,
    transient: bool,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// An error that may go away by itself: a lost connection, a lock held elsewhere.
    pub fn transient(
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            operation,
            transient: true,
            source: source.into(),
        }
    }

    /// An error that stays until somebody does something about it.
    pub fn permanent(
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            operation,
            transient: false,
            source: source.into(),
        }
    }

    /// What the store was doing, as a verb: `claim due jobs`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }
}

/// A setting of a scheduler is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct BuildError {
    /// The setting.
    pub field: &'static str,
    /// What is allowed.
    pub reason: &'static str,
}

/// A field of a [`Job`](crate::Job) is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidJob {
    /// The field.
    pub field: &'static str,
    /// What is allowed.
    pub reason: &'static str,
}

/// Why an operation of a [`Scheduler`](crate::Scheduler) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The job cannot be accepted; nothing was changed.
    #[error("job {key} is not valid")]
    Validate {
        /// The job's key.
        key: JobKey,
        /// What is wrong with it.
        #[source]
        source: InvalidJob,
    },
    /// The store failed.
    #[error("cannot {operation} job {key}")]
    Store {
        /// What was asked for: `upsert`, `remove`, `pause`, …
        operation: &'static str,
        /// The key.
        key: JobKey,
        /// The store's error.
        #[source]
        source: StoreError,
    },
    /// The job is removed, but a run of it was still at work when the time was up.
    #[error("job {key} is removed, and still running after {within:?}")]
    StillRunning {
        /// The key.
        key: JobKey,
        /// How long the caller was ready to wait.
        within: Duration,
    },
}
