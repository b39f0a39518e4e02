//! Nothing is left running or on disk, and the faults are what they say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod child_process;
mod fault_proxy;
mod server_faults;
mod servers;
mod small_disk;
