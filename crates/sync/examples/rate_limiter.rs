//! Ten requests per second and a burst of five; later the service that they go to can take more.

use std::time::Duration;

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{Quota, RateError, RateLimiter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quota = Quota::per_second(10)?.with_burst(5)?;
    let limiter = RateLimiter::builder(quota).name("requests").build()?;
    let start = SystemClock.monotonic();
    for request in 1..=8 {
        limiter.acquire(1).await?;
        let after = SystemClock.monotonic() - start;
        println!("request {request} after {after:.1?}");
    }

    // Whoever does not want to wait is told when to come back.
    if let Err(RateError::Denied { retry_after }) = limiter.try_acquire(1) {
        println!("one more at once: in {retry_after:.1?}");
    }
    // Whoever has a deadline learns at once that it cannot be kept.
    let deadline = SystemClock.monotonic() + Duration::from_millis(200);
    if let Err(error) = limiter.acquire_until(5, deadline).await {
        println!("five more soon: {error}");
    }

    limiter.set_quota(Quota::per_second(100)?);
    limiter.acquire(5).await?;
    let after = SystemClock.monotonic() - start;
    println!("five more after {after:.1?}, at the new rate");
    limiter.refund(2);
    println!(
        "two of them were not needed: {} are there",
        limiter.available()
    );
    Ok(())
}
