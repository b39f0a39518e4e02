//! Backends.

#[cfg(feature = "sqlite")]
mod host_time;
mod memory;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod migrations;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryBackend;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use migrations::MIGRATIONS;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteBackend;
