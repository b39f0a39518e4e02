//! One race-free database initialisation on sqlx: joined callers, classified errors, migrations
//! exactly once.
//!
//! For: services that open one database at start-up, from several places at once, against
//! servers that may not be up yet, and that want to close it and open it again. Not for: queries
//! (the pool is sqlx's own), and not for TLS: the drivers are built without it.
//!
//! # Guarantees
//!
//! - Concurrent calls to [`Database::initialize`] make one pool; all get the same outcome, and
//!   none returns before it is there. Dropping a caller changes nothing for the others.
//! - The pool is published only after connect, ping and migrate have succeeded.
//! - A failure is not cached, and close followed by initialise works.
//! - Migrations of all crates are applied exactly once, all or none, by however many processes.
//!   The ledger is checked: changed SQL, or a database newer than the program, is an error that
//!   says what to do.
//! - Retries have full jitter, one deadline and a circuit breaker; an outage of 30 s costs ten
//!   connects at most. Errors that retrying cannot cure are never retried. The true cause, with
//!   host, port and the system's words, is in the chain of sources, within the connect timeout.
//! - What is wrong with the input, the server or the disk is told with what to do about it, and
//!   names user, database and path, never the password.
//! - Failures in a row and the last error are in [`Database::snapshot`]; repeated ones raise an
//!   [`Alert`], and so does their end.
//! - Closing waits until the pool is empty and reports connections that leaked, also those of an
//!   attempt that was at work.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `sqlite` | `SqliteBackend`: a writer and many readers, WAL |
//! | `postgres` | `PostgresBackend`: migrations under an advisory lock; no TLS |
//! | `test-util` | `MemoryBackend`, a fake, and `conformance`, which every [`Backend`] must pass |
//! | `mocks` | `MockBackend` |
//!
//! # Example
//!
//! A backend of one's own; with the features, `SqliteBackend` and `PostgresBackend` are there.
//!
//! ```
//! use std::time::Duration;
//! use steadfast_db_init::{
//!     Backend, BackendError, Database, MigrationError, MigrationId, MigrationSet, PoolStats,
//! };
//!
//! struct Nothing;
//!
//! #[async_trait::async_trait]
//! impl Backend for Nothing {
//!     type Pool = ();
//!     async fn connect(&self) -> Result<(), BackendError> { Ok(()) }
//!     async fn ping(&self, _: &()) -> Result<(), BackendError> { Ok(()) }
//!     async fn migrate(&self, _: &(), _: &MigrationSet)
//!         -> Result<Vec<MigrationId>, MigrationError> { Ok(vec![]) }
//!     async fn pending(&self, _: &MigrationSet)
//!         -> Result<Vec<MigrationId>, MigrationError> { Ok(vec![]) }
//!     fn stats(&self, _: &()) -> PoolStats { PoolStats::default() }
//!     async fn close(&self, _: &()) {}
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let database = Database::builder(Nothing).deadline(Duration::from_secs(30)).build()?;
//! let (one, two) = tokio::join!(database.initialize(), database.ensure_initialized());
//! assert!(std::sync::Arc::ptr_eq(&one?, &two?));
//! assert!(database.status().is_ready());
//!
//! let report = database.close(Duration::from_secs(5)).await;
//! assert!(report.complete && database.get().is_none());
//! # Ok(())
//! # }
//! ```

mod database;

mod alert;
mod builder;
mod generation;
mod shared;
mod status;
mod work;

#[cfg(any(test, feature = "postgres", feature = "sqlite", feature = "test-util"))]
mod ledger;
mod migration;

mod class;
mod error;
mod ports;

mod adapters;

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
#[cfg(any(test, feature = "test-util"))]
mod memory;

#[cfg(feature = "postgres")]
pub use adapters::postgres::{PostgresBackend, PostgresOptions, classify_postgres};
#[cfg(feature = "sqlite")]
pub use adapters::sqlite::{
    SqliteBackend, SqliteFileError, SqliteOptions, SqlitePools, classify_sqlite,
};
pub use alert::{ALERT_BUFFER, Alert};
pub use builder::DatabaseBuilder;
pub use class::Class;
pub use database::Database;
pub use error::{
    AttemptError, BackendError, ConfigError, InitError, LedgerOperation, MigrationError,
    MigrationSetError,
};
#[cfg(any(test, feature = "test-util"))]
pub use memory::{MemoryBackend, MemoryConnection, MemoryPool};
pub use migration::{Dialect, Migration, MigrationId, MigrationSet};
pub use ports::Backend;
#[cfg(any(test, feature = "mocks"))]
pub use ports::MockBackend;
pub use status::{CloseReport, DatabaseSnapshot, Phase, PoolStats, Status};
pub use work::{Work, WorkError};
