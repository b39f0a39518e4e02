//! Job stores on databases.

mod codec;
mod migrations;
mod sqlite;

pub use migrations::MIGRATIONS;
pub use sqlite::SqliteJobStore;
