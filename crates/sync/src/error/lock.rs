use std::time::Duration;

/// Why [`AsyncLock::lock`](crate::AsyncLock::lock) and its variants did not lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The time given to wait is over.
    #[error(
        "timed out after {waited:?}, with {queue_len} others waiting and the key held for {held_for:?}"
    )]
    Timeout {
        /// How long this caller waited.
        waited: Duration,
        /// How many others wait for the same key.
        queue_len: usize,
        /// How long the present holder has had the key, or has had it while others waited.
        held_for: Duration,
    },
    /// As many as allowed wait for this key already.
    #[error("{max_waiters} callers wait for this key already")]
    QueueFull {
        /// The bound, see [`AsyncLockBuilder::max_waiters`](crate::AsyncLockBuilder::max_waiters).
        max_waiters: usize,
    },
    /// The lock was closed.
    #[error("the lock is closed")]
    Closed,
}

/// Why [`AsyncLock::try_lock`](crate::AsyncLock::try_lock) did not lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryLockError {
    /// Somebody holds the key or is about to.
    #[error("the key is locked")]
    Locked,
    /// The lock was closed.
    #[error("the lock is closed")]
    Closed,
}
