//! A lock that is held for too long, and how one finds out who does that, who waits, and since
//! when: by a look at any time, and by the events of a watch.

use std::time::Duration;

use steadfast_sync::{AsyncLock, LockError, PrimitiveState, Registry};
use tokio::time::sleep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The events: long hold, long wait and timeout are warnings.
    tracing_subscriber::fmt().with_ansi(false).init();
    let accounts = AsyncLock::builder()
        .name("accounts")
        .long_hold(Duration::from_millis(200))
        .long_wait(Duration::from_millis(150))
        .show_keys()
        .build()?;

    let work = async {
        tokio::join!(
            slow_export(&accounts),
            transfer(&accounts),
            audit(&accounts),
            look(),
        )
    };
    tokio::select! {
        never = Registry::global().watch(Duration::from_millis(50))? => match never {},
        (exported, transferred, audited, ()) = work => {
            exported?;
            transferred?;
            if let Err(error) = audited {
                println!("no audit: {error}");
            }
        }
    }
    Ok(())
}

/// Holds the account for longer than it should.
async fn slow_export(accounts: &AsyncLock<&'static str>) -> Result<(), LockError> {
    let _guard = accounts.lock("alice").await?;
    sleep(Duration::from_millis(300)).await;
    Ok(())
}

async fn transfer(accounts: &AsyncLock<&'static str>) -> Result<(), LockError> {
    let _guard = accounts.lock("alice").await?;
    println!("transferred");
    Ok(())
}

/// Waits, but not for ever.
async fn audit(accounts: &AsyncLock<&'static str>) -> Result<(), LockError> {
    let patience = Duration::from_millis(260);
    let _guard = accounts.lock_timeout("alice", patience).await?;
    println!("audited");
    Ok(())
}

/// What an operator's page would show, 120 ms after the start.
async fn look() {
    sleep(Duration::from_millis(120)).await;
    for primitive in Registry::global().snapshot() {
        let PrimitiveState::AsyncLock(lock) = primitive.state else {
            continue;
        };
        let (name, locked, waiting) = (primitive.name, lock.locked, lock.waiting);
        println!("{name}: {locked} keys locked, {waiting} callers wait");
        for key in lock.keys {
            let (holder, held_for) = (key.holder, key.held_for);
            let shown = key.key.unwrap_or_default();
            println!("  {shown} held by {holder} for {held_for:.1?}");
            for queued in key.queue {
                println!("    {} waits for {:.1?}", queued.caller, queued.waited);
            }
        }
    }
}
