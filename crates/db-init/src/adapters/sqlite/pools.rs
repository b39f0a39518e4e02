use sqlx::{Sqlite, SqlitePool, Transaction};

/// The two pools on one SQLite file; clones share them.
///
/// SQLite admits one writer at a time. With one writing connection, writers of this process
/// queue in the pool, in order, instead of failing with `SQLITE_BUSY`; readers are never blocked
/// by it (WAL).
#[derive(Clone, Debug)]
pub struct SqlitePools {
    /// Many connections that refuse to write (`query_only`).
    pub reader: SqlitePool,
    /// One connection. Begin its transactions by [`begin_write`](Self::begin_write).
    pub writer: SqlitePool,
}

impl SqlitePools {
    /// Begins a transaction that writes, by `BEGIN IMMEDIATE`.
    ///
    /// It takes the file's write lock at once and waits for other processes up to the busy
    /// timeout. A transaction that begins by reading and writes later (plain `BEGIN`) fails with
    /// `SQLITE_BUSY_SNAPSHOT` when another process wrote in between, and no waiting helps there.
    ///
    /// # Errors
    ///
    /// `PoolTimedOut` when this process's writer was not free within the acquire timeout,
    /// `SQLITE_BUSY` when another process held the lock for the whole busy timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the transaction before its commit, rolls back.
    pub async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }
}
