use async_trait::async_trait;

use crate::{BackendError, MigrationError, MigrationId, MigrationSet, PoolStats};

/// A kind of database that [`Database`](crate::Database) can initialise.
///
/// The adapters are `SqliteBackend` and `PostgresBackend`; `MemoryBackend` (feature `test-util`)
/// is a fake. An implementation must pass `conformance` (feature
/// `test-util`).
///
/// # Contract
///
/// - Every method may be dropped at any await and leaves no connection open that nobody owns.
/// - [`connect`](Self::connect) and [`ping`](Self::ping) end by themselves within a time of the
///   implementation's own, with the true cause: the address and what the operating system or the
///   server said.
/// - After [`migrate`](Self::migrate) failed, or was dropped, either all of the migrations that
///   it was about to apply are there or none.
/// - Processes that migrate the same database at once apply each migration exactly once.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock(type Pool = u32;))]
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// A cheap handle to the open pool; clones share the pool.
    type Pool: Clone + Send + Sync + 'static;

    /// Where the database is, in words for errors and events and without a password, such as
    /// `postgres at db.example:5432`.
    fn location(&self) -> String {
        "the database".to_owned()
    }

    /// Opens a pool.
    ///
    /// # Errors
    ///
    /// [`BackendError`], naming the address, when no connection could be made.
    async fn connect(&self) -> Result<Self::Pool, BackendError>;

    /// Checks through the pool that the server answers.
    ///
    /// # Errors
    ///
    /// [`BackendError`], naming the address, when it does not.
    async fn ping(&self, pool: &Self::Pool) -> Result<(), BackendError>;

    /// Applies the migrations that the ledger does not have, and returns them in order.
    ///
    /// # Errors
    ///
    /// [`MigrationError`], when the ledger and the set contradict each other, or a statement
    /// failed.
    async fn migrate(
        &self,
        pool: &Self::Pool,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError>;

    /// The migrations that [`migrate`](Self::migrate) would apply; changes nothing, and does not
    /// create the database.
    ///
    /// # Errors
    ///
    /// As [`migrate`](Self::migrate).
    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError>;

    /// What the pool holds now.
    fn stats(&self, pool: &Self::Pool) -> PoolStats;

    /// Refuses new work at once, and returns when every connection has come back and is closed.
    ///
    /// It may wait for ever for a connection that is never given back: the caller bounds it.
    /// A second call, also after the first was dropped, waits likewise.
    async fn close(&self, pool: &Self::Pool);
}
