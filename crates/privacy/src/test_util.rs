//! The stores in memory, and the conformance suites that every store must pass.

mod memory_erasures;
mod memory_policies;
mod memory_retention;
mod memory_run_log;

pub mod conformance;
pub mod erasure_conformance;

pub use memory_erasures::MemoryErasures;
pub use memory_policies::MemoryPolicies;
pub use memory_retention::MemoryRetention;
pub use memory_run_log::MemoryRunLog;
