//! Schedulers on a real Postgres server, among real processes that compete, are stopped, killed and
//! cut off. Run by `cargo xtask test scheduler --faults`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "real processes and servers go by the machine's clock"
)]

mod clocks;
mod competing;
mod database;
mod lost;
mod outage;
mod signals;
