//! Ten requests per second and a burst of five; the sixth waits.

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{Quota, RateLimiter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limiter = RateLimiter::new(Quota::per_second(10)?.with_burst(5)?);
    let start = SystemClock.monotonic();
    for request in 1..=8 {
        limiter.acquire(1).await?;
        let after = SystemClock.monotonic() - start;
        println!("request {request} after {after:.1?}");
    }
    if let Err(error) = limiter.try_acquire(1) {
        println!("one more at once: {error}");
    }
    Ok(())
}
