//! Downloads share ten connections; a large one takes several.

use std::{sync::Arc, time::Duration};

use steadfast_sync::Semaphore;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connections = Arc::new(Semaphore::new(10)?);
    let mut downloads = JoinSet::new();
    for wanted in [4, 4, 8, 1] {
        let connections = Arc::clone(&connections);
        downloads.spawn(async move {
            let permit = connections.acquire(wanted).await?;
            println!(
                "{} taken, {} free",
                permit.permits(),
                connections.available()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, steadfast_sync::AcquireError>(())
        });
    }
    while let Some(download) = downloads.join_next().await {
        download??;
    }
    Ok(())
}
