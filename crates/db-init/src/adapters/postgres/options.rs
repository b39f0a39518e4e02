use std::time::Duration;

use crate::{
    ConfigError,
    adapters::limits::{check_connections, check_durations},
};

/// How [`PostgresBackend`](crate::PostgresBackend) connects.
///
/// | option | default |
/// |---|---|
/// | [`max_connections`](Self::max_connections) | 10 |
/// | [`connect_timeout`](Self::connect_timeout) | 5 s |
/// | [`acquire_timeout`](Self::acquire_timeout) | 10 s |
/// | [`idle_timeout`](Self::idle_timeout) | 10 min |
/// | [`max_lifetime`](Self::max_lifetime) | 30 min |
/// | [`lock_timeout`](Self::lock_timeout) | 30 s |
///
/// Each time is longer than zero and at most 100 years.
///
/// Not options: the pool opens connections when they are asked for, none in advance, and tests
/// each one before it hands it out again.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(super) max_connections: u32,
    pub(super) connect_timeout: Duration,
    pub(super) acquire_timeout: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) lock_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_connections: 10,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            lock_timeout: Duration::from_secs(30),
        }
    }
}

impl PostgresOptions {
    /// The most connections of the pool, 65 536 at most; migrations use one more while they run.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = max;
        self
    }

    /// How long a direct connection may take, from resolving the host to the server's greeting,
    /// and how long the server may take to answer a ping on a connection that is open.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a caller waits for a connection of the pool before it gets `PoolTimedOut`.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// After how long without use a connection is closed; `None` for never.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// At what age a connection is closed when it comes back; `None` for never.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// How long to wait for another process that is migrating, be it to migrate next or to read
    /// what is pending.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_connections("max_connections", self.max_connections)?;
        check_durations(&[
            ("connect_timeout", Some(self.connect_timeout)),
            ("acquire_timeout", Some(self.acquire_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("lock_timeout", Some(self.lock_timeout)),
        ])
    }
}
