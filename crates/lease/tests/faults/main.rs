//! Leases on real servers and among real processes that are stopped, killed and cut off. Run by
//! `cargo xtask test lease --faults`; `cargo xtask soak lease` lets the chaos go on for longer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "real processes and servers go by the machine's clock"
)]

mod chaos;
mod cut_off;
mod electors;
mod hurt;
mod log;
mod redis_chaos;
mod redis_empty;
mod redis_errors;
mod stopped_holder;

use std::{sync::Arc, time::Duration};

use steadfast_lease::{LeaseLock, LockBackend};
use tokio::time::{sleep, timeout};

/// Long enough for a loaded machine to renew in time.
const TTL: Duration = Duration::from_secs(3);
const KEY: &str = "nightly";

/// How long a condition is waited for that must come true.
const SOON: Duration = Duration::from_secs(60);

/// What `probe` finds; it is asked again and again.
async fn found<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = probe().await {
                break found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, asking).await.expect("it is found in time")
}

fn lock(backend: Arc<dyn LockBackend>, owner: &str) -> LeaseLock {
    let lock = LeaseLock::builder(backend, KEY, owner);
    lock.ttl(TTL).build().unwrap()
}
