//! Job stores on databases.

mod batch;
mod codec;
mod job_row;
mod migrations;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use migrations::MIGRATIONS;
#[cfg(feature = "postgres")]
pub use postgres::PostgresJobStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteJobStore;
