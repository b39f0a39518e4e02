//! The trait that others implement.

use std::time::Duration;

use async_trait::async_trait;

use crate::{BackendError, Grant, Guarantees};

/// Where leases are kept: one holder a key at a time, each with a higher fence than the last.
///
/// An implementation does one round trip a call and no retries; [`LeaseLock`](crate::LeaseLock)
/// limits the time of every call and decides what is tried again. A panic counts as a permanent
/// error. Whatever an error or a dropped future leaves in the dark, nothing is granted twice: a
/// lease that nobody knows of expires.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait LockBackend: Send + Sync + 'static {
    /// Takes the lease of `key` for `ttl`, unless somebody holds it, be it the same `owner`.
    ///
    /// The grant's fence is higher than that of every earlier grant of this key, also after
    /// releases and expiries.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the lease taken; it then expires after `ttl`.
    ///
    /// # Errors
    ///
    /// If the backend cannot tell or be reached; the lease may have been taken none the less.
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError>;

    /// Extends the lease to `ttl` from now and keeps its fence; `None` if it is no longer held by
    /// this grant, known by its key and fence: released, expired or taken by another, even if it
    /// is free by now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the lease extended or not.
    ///
    /// # Errors
    ///
    /// If the backend cannot tell or be reached; the lease may have been extended none the less.
    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError>;

    /// Gives the lease back; no effect if it is no longer held by this grant, known by its key and
    /// fence.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the lease taken; it then expires.
    ///
    /// # Errors
    ///
    /// If the backend cannot tell or be reached; the lease may have been released none the less.
    async fn release(&self, grant: &Grant) -> Result<(), BackendError>;

    /// What this backend promises.
    fn guarantees(&self) -> Guarantees;
}
