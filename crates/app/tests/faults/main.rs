//! The real binary with very many users at once, killed in the middle of it, and behind networks
//! that fail. Run by `cargo xtask test app --faults`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "real processes and servers go by the machine's clock"
)]

#[path = "../it/client.rs"]
#[expect(dead_code, reason = "the other tests use the rest of it")]
mod client;
#[path = "../it/process.rs"]
#[expect(dead_code, reason = "the other tests use the rest of it")]
mod process;

mod audience;
mod crowd;
mod killed;
mod lateness;
mod minute;
