//! Nothing is left running or on disk, and the proxy's faults are what they say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fault_proxy;
mod server_faults;
mod servers;
