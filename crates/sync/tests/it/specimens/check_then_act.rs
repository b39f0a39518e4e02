//! Row 19: the limit on a user's connections is checked, and acted on some time later. The same on
//! two threads is in `tests/schedules`, because it takes a schedule to go wrong.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

use steadfast_sync::{OwnedPermit, Semaphore};
use tokio::task::yield_now;

use super::Checked;
use crate::support::{Boxed, poll};

const LIMIT: usize = 2;
const BURST: usize = 10;

trait Limited: Sync {
    type Connection: Send;
    fn connect(&self) -> impl Future<Output = Option<Self::Connection>> + Send;
}

/// Of a burst of connections, no more than the limit are there at the same time.
fn check<L: Limited>(limited: &L) -> Checked {
    let connect = |_| -> Boxed<'_, _> { Box::pin(limited.connect()) };
    let mut pending: Vec<_> = (0..BURST).map(connect).collect();
    let mut connections = Vec::new();
    while !pending.is_empty() {
        pending.retain_mut(|connect| match poll(connect) {
            std::task::Poll::Ready(connection) => {
                connections.extend(connection);
                false
            }
            std::task::Poll::Pending => true,
        });
    }
    match connections.len() {
        LIMIT => Ok(()),
        connected => Err(format!("{connected} were connected at once")),
    }
}

#[derive(Default)]
struct CheckThenAct(AtomicUsize);

impl Limited for CheckThenAct {
    type Connection = ();

    async fn connect(&self) -> Option<()> {
        if self.0.load(Ordering::SeqCst) >= LIMIT {
            return None;
        }
        // The handshake.
        yield_now().await;
        self.0.fetch_add(1, Ordering::SeqCst);
        Some(())
    }
}

impl Limited for Semaphore {
    type Connection = OwnedPermit;

    async fn connect(&self) -> Option<OwnedPermit> {
        let reserved = self.try_acquire_owned(1).ok()?;
        yield_now().await;
        Some(reserved)
    }
}

#[tokio::test]
async fn row_19_limit_that_is_checked_before_it_is_acted_on_is_found_and_the_semaphore_has_none() {
    let fault = check(&CheckThenAct::default()).unwrap_err();
    assert_eq!(fault, "10 were connected at once");
    assert_eq!(check(&Semaphore::new(LIMIT).unwrap()), Ok(()));
}
