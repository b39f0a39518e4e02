//! SQLite: a writer and many readers on one file, in WAL mode.

mod backend;
mod classify;
mod diagnose;
mod migrate;
mod options;
mod pools;
mod remedy;

pub use backend::SqliteBackend;
pub use classify::classify_sqlite;
pub use diagnose::SqliteFileError;
pub use options::SqliteOptions;
pub use pools::SqlitePools;
