//! Each client has its own quota.

use steadfast_sync::{KeyedRateLimiter, Quota};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clients = KeyedRateLimiter::new(Quota::per_minute(2)?);
    for client in ["alice", "alice", "alice", "bob"] {
        match clients.try_acquire(&client, 1) {
            Ok(()) => println!("{client}: welcome"),
            Err(error) => println!("{client}: {error}"),
        }
    }
    println!("{} clients are tracked", clients.len());
    Ok(())
}
