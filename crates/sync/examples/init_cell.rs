//! A database pool that is opened by whoever needs it first, tried again after a failure, and
//! opened anew after it was closed.

use std::{error::Error, io, sync::Arc, time::Duration};

use steadfast_sync::{InitCell, InitError};
use tokio::{task::JoinSet, time::sleep};

/// Stands for a pool of connections.
#[derive(Debug)]
struct Pool {
    generation: u64,
}

struct Database {
    pool: InitCell<Pool, io::Error>,
}

impl Database {
    /// The pool; callers that come during an attempt share it, and so does a failure.
    async fn pool(&self) -> Result<Arc<Pool>, InitError<io::Error>> {
        self.pool.get_or_init(open).await
    }

    /// Takes the pool away. The next call of [`pool`](Self::pool) opens another.
    async fn close(&self) {
        if let Some(pool) = self.pool.reset() {
            println!("closing {pool:?}");
        }
    }
}

/// Stands for a server that is not there at first.
async fn open(generation: u64) -> io::Result<Pool> {
    println!("attempt {generation}");
    sleep(Duration::from_millis(50)).await;
    match generation {
        1 => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => Ok(Pool { generation }),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = Arc::new(Database {
        pool: InitCell::builder().name("database").build()?,
    });
    for round in 1..=3 {
        let mut requests = JoinSet::new();
        for _ in 0..100 {
            let database = Arc::clone(&database);
            requests.spawn(async move { database.pool().await.map(|pool| pool.generation) });
        }
        let outcomes = requests.join_all().await;
        let served = outcomes.iter().flatten().count();
        println!(
            "round {round}: {served} of 100 served, {:?}",
            database.pool.state()
        );
        if round == 2 {
            database.close().await;
        }
    }
    Ok(())
}
