//! Backends.

mod memory;

pub use memory::MemoryBackend;
