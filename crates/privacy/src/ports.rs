use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Operation, PolicyChange, PolicyOutcome, PortError, Records, RetentionPolicy, Run, RunId,
};

/// Finds and deletes records by their age.
///
/// What the age of a record counts from is said at each of [`Records`].
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// How many records are older than `cutoff`.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    async fn count_expired(&self, records: Records, cutoff: Timestamp) -> Result<u64, PortError>;

    /// The time of the oldest record.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    async fn oldest(&self, records: Records) -> Result<Option<Timestamp>, PortError>;

    /// Deletes up to `limit` records older than `cutoff`, the oldest first, in one short
    /// transaction, and says how many it deleted: fewer than `limit` only if none is left, but for
    /// those that somebody else is changing at this moment, which a store may pass over.
    ///
    /// # Errors
    ///
    /// If the store fails; nothing is deleted then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has deleted all of the batch or nothing.
    async fn delete_batch(
        &self,
        records: Records,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<u64, PortError>;
}

/// Keeps the policies that were changed.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PolicyStore: Send + Sync {
    /// Those that were ever changed, as they are now; the others stand as they are by default.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn load(&self) -> Result<Vec<RetentionPolicy>, PortError>;

    /// Stores how a policy is to be, if its version is still the one before: of any number of
    /// concurrent changes of one version one is stored. A policy that was never stored has
    /// version 1. Durable when it returns `true`.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn store(&self, change: &PolicyChange) -> Result<bool, PortError>;
}

/// Remembers the runs.
///
/// Each call is atomic and durable when it returns.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait RunLog: Send + Sync {
    /// Adds a run.
    ///
    /// If it is [`Running`](crate::RunStatus::Running), it alone holds its operation's lock, so
    /// earlier runs of the operation that never ended are marked as failed.
    ///
    /// # Errors
    ///
    /// If the log fails, or has a run with this id.
    async fn begin(&self, run: &Run) -> Result<(), PortError>;

    /// Marks the runs of an operation that never ended as failed, and says how many there were.
    ///
    /// Right only under the operation's lock, while nobody works on the operation.
    ///
    /// # Errors
    ///
    /// If the log fails.
    async fn fail_unfinished(&self, operation: Operation, at: Timestamp) -> Result<u64, PortError>;

    /// Adds the outcome of one policy to a run.
    ///
    /// # Errors
    ///
    /// If the log fails.
    async fn record(&self, id: RunId, outcome: &PolicyOutcome) -> Result<(), PortError>;

    /// Stores the end of a run: its status, time, error and report. The policies' outcomes stay
    /// as they were recorded.
    ///
    /// # Errors
    ///
    /// If the log fails.
    async fn finish(&self, run: &Run) -> Result<(), PortError>;

    /// The run of that id.
    ///
    /// # Errors
    ///
    /// If the log fails.
    async fn find(&self, id: RunId) -> Result<Option<Run>, PortError>;

    /// The latest run of an operation that succeeded.
    ///
    /// # Errors
    ///
    /// If the log fails.
    async fn last_success(&self, operation: Operation) -> Result<Option<Run>, PortError>;

    /// Up to `limit` runs, of one operation if it is given, with ids below `before`, the newest
    /// first.
    ///
    /// # Errors
    ///
    /// If the log fails.
    async fn list(
        &self,
        operation: Option<Operation>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, PortError>;
}
