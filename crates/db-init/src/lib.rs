//! One race-free database initialisation on sqlx: joined callers, classified errors, migrations exactly once.

mod adapters;
mod builder;
mod class;
mod database;
mod error;
mod generation;
mod ledger;
mod migration;
mod ports;
mod shared;
mod status;

#[cfg(feature = "postgres")]
pub use adapters::postgres::{PostgresBackend, PostgresOptions, classify_postgres};
#[cfg(feature = "sqlite")]
pub use adapters::sqlite::{
    SqliteBackend, SqliteFileError, SqliteOptions, SqlitePools, classify_sqlite,
};
pub use builder::DatabaseBuilder;
pub use class::Class;
pub use database::Database;
pub use error::{
    AttemptError, BackendError, ConfigError, InitError, LedgerOperation, MigrationError,
    MigrationSetError,
};
pub use migration::{Dialect, Migration, MigrationId, MigrationSet};
pub use ports::Backend;
#[cfg(any(test, feature = "mocks"))]
pub use ports::MockBackend;
pub use status::{CloseReport, Phase, PoolStats, Status};
