//! The public behaviour of every primitive.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

mod async_lock;
mod auto_traits;
mod cancellation;
mod circuit_breaker;
mod config;
mod global;
mod init_cell;
mod linearizability;
#[cfg(feature = "metrics")]
mod meters;
mod paced;
mod panics;
mod rate_limiter;
mod registry;
mod retry;
mod semaphore;
mod single_flight;
#[cfg(feature = "serde")]
mod snapshot_json;
mod specimens;
mod stress;
mod support;
mod unclaimed;
