//! Both stores in memory, and the conformance suites that every store must pass.

mod memory_retention;
mod memory_run_log;

pub mod conformance;

pub use memory_retention::MemoryRetention;
pub use memory_run_log::MemoryRunLog;
