//! Row 5: `waitForToken` makes a promise and does not await it.

use std::{future::Future, time::Duration};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{Quota, RateLimiter};
use tokio::time::sleep;

use super::Checked;
use crate::support::millis;

const INTERVAL: Duration = millis(10);
const WAITS: u32 = 50;

trait Bucket: Sync {
    fn wait_for_token(&self) -> impl Future<Output = ()> + Send;
}

/// So many waits take as long as it takes to earn their tokens, the first of which is there.
async fn check(bucket: &impl Bucket) -> Checked {
    let start = SystemClock.monotonic();
    for _ in 0..WAITS {
        bucket.wait_for_token().await;
    }
    let (took, due) = (SystemClock.monotonic() - start, INTERVAL * (WAITS - 1));
    if took < due {
        return Err(format!("{WAITS} waits took {took:?}, and not {due:?}"));
    }
    Ok(())
}

struct Unawaited;

impl Bucket for Unawaited {
    async fn wait_for_token(&self) {
        drop(sleep(INTERVAL));
    }
}

impl Bucket for RateLimiter {
    async fn wait_for_token(&self) {
        self.acquire(1).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn row_05_wait_that_does_not_wait_is_found_and_the_limiter_has_none() {
    let fault = check(&Unawaited).await.unwrap_err();
    assert_eq!(fault, "50 waits took 0ns, and not 490ms");
    let limiter = RateLimiter::new(Quota::new(1, INTERVAL).unwrap());
    assert_eq!(check(&limiter).await, Ok(()));
}
