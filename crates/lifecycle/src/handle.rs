use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::{ALERT_BUFFER, Alert, Snapshot, published::Published, snapshot::Draft};

/// A cheap, cloneable view of a lifecycle: its snapshot, and a way to ask it to stop.
///
/// There is one before the lifecycle is built
/// ([`LifecycleBuilder::handle`](crate::LifecycleBuilder::handle)), so that services can hold it.
#[derive(Clone, Debug)]
pub struct LifecycleHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshot: Published,
    stop_requested: watch::Sender<bool>,
    alerts: broadcast::Sender<Alert>,
}

impl LifecycleHandle {
    pub(crate) fn detached() -> Self {
        let snapshot = Snapshot::stopped([]);
        Self {
            shared: Arc::new(Shared {
                snapshot: Published::new(snapshot),
                stop_requested: watch::Sender::new(false),
                alerts: broadcast::Sender::new(ALERT_BUFFER),
            }),
        }
    }

    /// How the application is now; takes no lock.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.read()
    }

    /// The snapshot as it changes; a slow reader misses changes in between, never the last.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshot.subscribe()
    }

    /// Alerts from now on: which services fail repeatedly, and which of them recovered.
    ///
    /// A reader that is more than [`ALERT_BUFFER`] alerts behind misses the oldest, and is told how
    /// many. How each service is now is in the [`snapshot`](Self::snapshot).
    #[must_use]
    pub fn alerts(&self) -> broadcast::Receiver<Alert> {
        self.shared.alerts.subscribe()
    }

    /// Asks the application to stop, as a first signal does.
    ///
    /// It is heard by [`run_until_stopped`](crate::Lifecycle::run_until_stopped), the one at work
    /// or else the next; asking again changes nothing.
    pub fn request_stop(&self) {
        self.shared.stop_requested.send_replace(true);
    }

    pub(crate) async fn stop_requested(&self) {
        let mut requested = self.shared.stop_requested.subscribe();
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = requested.wait_for(|requested| *requested).await;
    }

    pub(crate) fn clear_stop_request(&self) {
        self.shared.stop_requested.send_replace(false);
    }

    pub(crate) fn raise(&self, alert: Alert) {
        // An error means that nobody listens, which is fine.
        let _ = self.shared.alerts.send(alert);
    }

    /// Changes the snapshot; returns what `change` returns.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Draft<'_>) -> R) -> R {
        self.shared.snapshot.update(change)
    }

    pub(crate) fn replace(&self, snapshot: Snapshot) {
        self.shared.snapshot.replace(snapshot);
    }
}
