//! Row 13: an update that finds another one at work for the same user is dropped silently.

use std::{
    future::Future,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use steadfast_sync::AsyncLock;
use tokio::task::yield_now;

use super::Checked;
use crate::support::{Boxed, poll};

trait Schedule: Sync {
    fn update(&self, change: u32) -> impl Future<Output = ()> + Send;
    fn changes(&self) -> Vec<u32>;
}

/// Every update that returned has been applied.
fn check(schedule: &impl Schedule) -> Checked {
    let update = |change| -> (u32, Boxed<'_, ()>) { (change, Box::pin(schedule.update(change))) };
    let mut updates: Vec<_> = (1..=3).map(update).collect();
    while !updates.is_empty() {
        updates.retain_mut(|(_, update)| poll(update).is_pending());
    }
    let changes = schedule.changes();
    let is_applied = |change: &u32| changes.contains(change);
    if (1..=3).all(|change| is_applied(&change)) {
        Ok(())
    } else {
        Err(format!("of 1, 2 and 3 only {changes:?} were applied"))
    }
}

#[derive(Default)]
struct Rows(Mutex<Vec<u32>>);

impl Rows {
    /// Reads, works and writes, as a database has it done.
    async fn append(&self, change: u32) {
        let mut changes = self.0.lock().unwrap().clone();
        yield_now().await;
        changes.push(change);
        *self.0.lock().unwrap() = changes;
    }

    fn changes(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Default)]
struct SkipIfBusy {
    is_busy: AtomicBool,
    rows: Rows,
}

impl Schedule for SkipIfBusy {
    async fn update(&self, change: u32) {
        if self.is_busy.swap(true, Ordering::SeqCst) {
            return;
        }
        self.rows.append(change).await;
        self.is_busy.store(false, Ordering::SeqCst);
    }

    fn changes(&self) -> Vec<u32> {
        self.rows.changes()
    }
}

/// Not the original's, but what is left when the flag is taken away.
#[derive(Default)]
struct NoLock(Rows);

impl Schedule for NoLock {
    async fn update(&self, change: u32) {
        self.0.append(change).await;
    }

    fn changes(&self) -> Vec<u32> {
        self.0.changes()
    }
}

#[derive(Default)]
struct OneAfterTheOther {
    lock: AsyncLock<&'static str>,
    rows: Rows,
}

impl Schedule for OneAfterTheOther {
    async fn update(&self, change: u32) {
        let append = self.rows.append(change);
        self.lock.with_lock("user-1", append).await.unwrap();
    }

    fn changes(&self) -> Vec<u32> {
        self.rows.changes()
    }
}

#[tokio::test]
async fn row_13_dropped_and_overwritten_updates_are_found_and_the_lock_has_none() {
    let fault = check(&SkipIfBusy::default()).unwrap_err();
    assert_eq!(fault, "of 1, 2 and 3 only [1] were applied");
    let fault = check(&NoLock::default()).unwrap_err();
    assert_eq!(fault, "of 1, 2 and 3 only [3] were applied");
    let ours = OneAfterTheOther::default();
    assert_eq!(check(&ours), Ok(()));
    assert_eq!(ours.changes(), [1, 2, 3]);
}
