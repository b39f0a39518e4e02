use std::time::Duration;

/// Why [`Semaphore::acquire`](crate::Semaphore::acquire) and its variants gave no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Zero permits were asked for.
    #[error("cannot acquire zero permits")]
    ZeroPermits,
    /// More was asked for than there will ever be.
    #[error("{requested} permits were requested of a capacity of {capacity}")]
    ExceedsCapacity {
        /// What was asked for.
        requested: usize,
        /// What there is in all.
        capacity: usize,
    },
    /// The time given to wait is over.
    #[error("timed out after {waited:?}, with {queue_len} others waiting")]
    Timeout {
        /// How long this caller waited.
        waited: Duration,
        /// How many others wait.
        queue_len: usize,
    },
    /// As many as allowed wait already.
    #[error("{max_waiters} callers wait already")]
    QueueFull {
        /// The bound, see [`SemaphoreBuilder::max_waiters`](crate::SemaphoreBuilder::max_waiters).
        max_waiters: usize,
    },
    /// The semaphore was closed.
    #[error("the semaphore is closed")]
    Closed,
}

/// Why [`Semaphore::try_acquire`](crate::Semaphore::try_acquire) gave no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Zero permits were asked for.
    #[error("cannot acquire zero permits")]
    ZeroPermits,
    /// More was asked for than there will ever be.
    #[error("{requested} permits were requested of a capacity of {capacity}")]
    ExceedsCapacity {
        /// What was asked for.
        requested: usize,
        /// What there is in all.
        capacity: usize,
    },
    /// Too few permits are free, or others wait for them.
    #[error("{available} permits are free and {waiting} callers wait")]
    NoPermits {
        /// Permits that are free.
        available: usize,
        /// Callers that wait and come first.
        waiting: usize,
    },
    /// The semaphore was closed.
    #[error("the semaphore is closed")]
    Closed,
}
