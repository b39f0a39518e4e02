use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use steadfast_clock::Clock;
use steadfast_sync::{AsyncLock, Quota};
use tokio::time::timeout;

use crate::{
    Authenticator, Authorizer, Disconnect, History, Limits, Observer, PortError, RpcHandler,
    connection::Connection, heartbeat::Heartbeat, origins::Origins, places::Places,
    protocol::encode_unsubscribe, registry::Registry, topic::Left,
};

/// An unsubscribe push after which the client stays unsubscribed.
const UNSUBSCRIBED_BY_SERVER: (u32, &str) = (2000, "server unsubscribe");

/// What the hub, its connections and its tasks share.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) quota: Quota,
    pub(crate) origins: Origins,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) authorizer: Option<Arc<dyn Authorizer>>,
    pub(crate) history: Option<Arc<dyn History>>,
    pub(crate) rpc: Option<Arc<dyn RpcHandler>>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) registry: Registry,
    pub(crate) places: Arc<Places>,
    pub(crate) heartbeat: Heartbeat,
    /// One publisher at a time stores and hands over, so that a topic's order is its history's.
    pub(crate) publishers: AsyncLock<Arc<str>>,
    pub(crate) counters: Counters,
    /// Makes the ids that clients see differ between two hubs.
    pub(crate) instance: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) opened: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) evicted_slow: AtomicU64,
    pub(crate) evicted_silent: AtomicU64,
    pub(crate) repaired: AtomicU64,
}

impl Counters {
    /// Counts one client that left.
    pub(crate) fn count_ending(&self, disconnect: &Disconnect) {
        let counter = match disconnect.code {
            code if code == Disconnect::SLOW.code => &self.evicted_slow,
            code if code == Disconnect::NO_PONG.code => &self.evicted_silent,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// The history, if `topic` has one.
    pub(crate) fn history_of(&self, topic: &str) -> Option<&Arc<dyn History>> {
        let history = self.history.as_ref();
        history.filter(|history| history.covers(topic))
    }

    /// Ends one subscription in the server's name.
    pub(crate) fn unsubscribe(&self, connection: &Connection, topic: &str) -> bool {
        let farewell = unsubscribed_by_server(topic);
        // Where it is only marked, the session tells the client after the acknowledgement.
        self.registry.leave(connection, topic, None, Some(farewell)) != Left::Absent
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("limits", &self.limits)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

/// Tells the client that the server ended a subscription, and that it stays ended.
pub(crate) fn unsubscribed_by_server(topic: &str) -> Bytes {
    let (code, reason) = UNSUBSCRIBED_BY_SERVER;
    encode_unsubscribe(topic, code, reason)
}

/// Calls a port under a deadline.
pub(crate) async fn within<T>(
    deadline: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    match timeout(deadline, call).await {
        Ok(result) => result,
        Err(elapsed) => Err(PortError::transient(operation, elapsed)),
    }
}
