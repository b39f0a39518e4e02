use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{Erasure, ErasureId, PortError, Receipt, Tombstone};

/// What an [`Erasure`]'s receipt code is stored as: a hash that whoever hands the code out computes.
pub type CodeHash = [u8; 32];

/// Remembers the requests to erase users, and which users have been erased.
///
/// Each call is atomic and durable when it returns. While an erasure of a user
/// [is under way](crate::ErasureStatus::is_under_way) the user's credentials are worth nothing:
/// whoever looks after log-ins reads that from here.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait ErasureStore: Send + Sync {
    /// Adds a request, unless the user has an open one: that is answered, and nothing is added.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn insert(
        &self,
        erasure: &Erasure,
        code: Option<CodeHash>,
    ) -> Result<Option<Erasure>, PortError>;

    /// One request.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn get(&self, id: ErasureId) -> Result<Option<Erasure>, PortError>;

    /// The request whose receipt code has that hash.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn by_code(&self, code: CodeHash) -> Result<Option<Erasure>, PortError>;

    /// Up to `limit` requests, of one user if it is given, with ids below `before`, the newest
    /// first.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn list(
        &self,
        user: Option<Uuid>,
        before: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError>;

    /// Up to `limit` open requests that are due at `now`, with ids above `after`, the oldest first.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn due(
        &self,
        now: Timestamp,
        after: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError>;

    /// Up to `limit` requests that were completed at `since` or later, with ids above `after`, the
    /// oldest first.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn completed_since(
        &self,
        since: Timestamp,
        after: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError>;

    /// Cancels a pending request; `false` if it is not pending.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn cancel(&self, id: ErasureId, at: Timestamp) -> Result<bool, PortError>;

    /// Marks an open request as running; `false` if it is not open.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn begin(&self, id: ErasureId) -> Result<bool, PortError>;

    /// Marks a running request as failed.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn fail(&self, id: ErasureId, error: &str) -> Result<(), PortError>;

    /// Marks a running request as completed, together with its user's tombstone, and answers its
    /// receipt; that of a completed one stays as it is.
    ///
    /// # Errors
    ///
    /// If the store fails, or the request is neither running nor completed.
    async fn complete(&self, tombstone: &Tombstone) -> Result<Receipt, PortError>;

    /// How many open requests were due before `before`.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn count_overdue(&self, before: Timestamp) -> Result<u64, PortError>;

    /// Those of `users` that have no tombstone here.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn without_tombstone(&self, users: &[Uuid]) -> Result<Vec<Uuid>, PortError>;
}

/// All that is stored about users, in whatever tables.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PersonalData: Send + Sync {
    /// The tables that hold something about users, in the order in which it is to be erased: what
    /// authenticates a user first, what others point at last.
    fn tables(&self) -> Vec<&'static str>;

    /// Keeps the user's schedules from firing from now on.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn cancel_schedules(&self, user: Uuid) -> Result<(), PortError>;

    /// Erases up to `limit` of the user's rows of a table and adds their number to what the
    /// request has erased, in one short transaction. Answers the number: 0 means that none is left.
    ///
    /// # Errors
    ///
    /// If the store fails; nothing is erased then.
    async fn erase_batch(
        &self,
        request: ErasureId,
        user: Uuid,
        table: &'static str,
        limit: u32,
    ) -> Result<u64, PortError>;

    /// How many rows of a table an erasure of the user would erase.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn count(&self, user: Uuid, table: &'static str) -> Result<u64, PortError>;
}

/// The open connections of users.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Connections: Send + Sync {
    /// Closes all of a user's, for good.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has closed some of them.
    async fn close(&self, user: Uuid);
}

/// Tombstones outside of the database, which knows nothing any more when it is restored.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait TombstoneLog: Send + Sync {
    /// Adds a tombstone; it is durable when this returns. Adding one twice does no harm.
    ///
    /// # Errors
    ///
    /// If the log cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the tombstone is there as a whole or not at all.
    async fn append(&self, tombstone: &Tombstone) -> Result<(), PortError>;

    /// Every tombstone, each user once.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    async fn read(&self) -> Result<Vec<Tombstone>, PortError>;
}
