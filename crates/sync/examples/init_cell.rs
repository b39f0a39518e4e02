//! Three callers share one attempt; after a failure the next call starts another.

use std::{io, time::Duration};

use steadfast_sync::InitCell;

/// Stands for a database that is not there at first.
async fn connect(attempt: u64) -> io::Result<String> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    match attempt {
        1 => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => Ok(format!("connection {attempt}")),
    }
}

#[tokio::main]
async fn main() {
    let database = InitCell::named("database");
    for _ in 0..2 {
        let outcomes = tokio::join!(
            database.get_or_init(connect),
            database.get_or_init(connect),
            database.get_or_init(connect),
        );
        println!("{outcomes:?}, now {:?}", database.state());
    }
}
