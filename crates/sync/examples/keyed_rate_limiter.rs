//! Each client has its own quota, and those that were quiet for long take no memory.

use std::time::Duration;

use steadfast_sync::{KeyedRateLimiter, Quota, RateError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quota = Quota::per_second(5)?.with_burst(2)?;
    let clients = KeyedRateLimiter::builder(quota)
        .name("clients")
        .max_keys(10_000)
        .build()?;
    for client in ["alice", "alice", "alice", "bob"] {
        match clients.try_acquire(&client, 1) {
            Ok(()) => println!("{client}: 200"),
            Err(RateError::Denied { retry_after }) => {
                println!("{client}: 429, retry after {retry_after:.1?}");
            }
            Err(error) => println!("{client}: 503, {error}"),
        }
    }

    // Work that need not be refused can wait for its turn, within limits.
    let patience = Duration::from_secs(1);
    clients.acquire_timeout(&"alice", 1, patience).await?;
    println!("alice: 200, after a wait");

    println!("{} clients are tracked", clients.len());
    tokio::time::sleep(Duration::from_millis(500)).await;
    // `Registry::watch` does this for limiters with a name.
    println!("{} are forgotten: all is earned back", clients.sweep());
    Ok(())
}
