use std::sync::Arc;

use loom::{future::block_on, thread};
use steadfast_sync::AsyncLock;

mod flight;
mod init_cell;

#[test]
fn key_is_held_by_one_at_a_time() {
    loom::model(|| {
        let lock = Arc::new(AsyncLock::new());
        let other = Arc::clone(&lock);
        let thread = thread::spawn(move || block_on(async { drop(other.lock(1).await.unwrap()) }));
        block_on(async { drop(lock.lock(1).await.unwrap()) });
        thread.join().unwrap();
        assert!(!lock.is_locked(&1));
    });
}
