//! Leases on real servers and among real processes that are stopped, killed and cut off. Run by
//! `cargo xtask test lease --faults`; `cargo xtask soak lease` lets the chaos go on for longer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "real processes and servers go by the machine's clock"
)]

mod chaos;
mod cut_off;
mod hurt;
mod log;
mod redis_chaos;
mod redis_empty;
mod redis_errors;
mod stopped_holder;

use std::{sync::Arc, time::Duration};

use steadfast_lease::{LeaseLock, LockBackend};

/// Long enough for a loaded machine to renew in time.
const TTL: Duration = Duration::from_secs(3);
const KEY: &str = "nightly";

fn lock(backend: Arc<dyn LockBackend>, owner: &str) -> LeaseLock {
    let lock = LeaseLock::builder(backend, KEY, owner);
    lock.ttl(TTL).build().unwrap()
}
