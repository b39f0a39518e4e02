//! Real processes and real signals: a chain of eight services that is signalled at every stage.
//! Run by `cargo xtask test lifecycle --faults`.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chain;
mod drain;
mod readiness;
mod signalled;
