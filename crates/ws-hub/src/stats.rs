/// A snapshot of a hub.
///
/// Each figure is exact; together they are not one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// Connections that hold a place, those still opening included.
    pub sockets: usize,
    /// Registered connections.
    pub connections: usize,
    /// Users with at least one of them.
    pub users: usize,
    /// Topics with at least one subscription.
    pub topics: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Connections registered since the hub was made.
    pub opened: u64,
    /// Messages put into clients' queues since the hub was made.
    pub delivered: u64,
    /// Clients evicted because they read too slowly.
    pub evicted_slow: u64,
    /// Clients evicted because they showed no sign of life.
    pub evicted_silent: u64,
    /// Gaps repaired from history.
    pub repaired: u64,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Sockets that ended in order within the grace.
    pub graceful: usize,
    /// Sockets that were cut at its end.
    pub forced: usize,
}
