//! Two updates of one user never overlap; another user does not wait.

use std::{sync::Arc, time::Duration};

use steadfast_sync::AsyncLock;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let users = Arc::new(AsyncLock::builder().name("users").build()?);
    let mut updates = JoinSet::new();
    for (update, user) in ["alice", "alice", "bob"].into_iter().enumerate() {
        let users = Arc::clone(&users);
        updates.spawn(async move {
            let _guard = users.lock(user).await?;
            println!("update {update} of {user} begins");
            tokio::time::sleep(Duration::from_millis(50)).await;
            println!("update {update} of {user} ends");
            Ok::<_, steadfast_sync::LockError>(())
        });
    }
    while let Some(update) = updates.join_next().await {
        update??;
    }
    println!("locked now: {:?}", users.locked_keys());
    Ok(())
}
