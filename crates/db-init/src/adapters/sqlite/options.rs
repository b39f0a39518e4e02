use std::time::Duration;

use crate::{
    ConfigError,
    adapters::limits::{check_connections, check_durations},
};

/// SQLite counts the busy timeout in an `int`.
const MAX_BUSY_MILLIS: u32 = i32::MAX as u32;

/// How [`SqliteBackend`](crate::SqliteBackend) opens a file.
///
/// | option | default |
/// |---|---|
/// | [`readers`](Self::readers) | 4 |
/// | [`busy_timeout`](Self::busy_timeout) | 5 s |
/// | [`acquire_timeout`](Self::acquire_timeout) | 10 s |
/// | [`idle_timeout`](Self::idle_timeout) | never |
/// | [`max_lifetime`](Self::max_lifetime) | never |
///
/// Each time is longer than zero and at most 100 years.
///
/// Not options, because the guarantees rest on them: WAL, foreign keys on, one writer, readers
/// that refuse to write, connections that are opened when they are asked for and tested before they
/// are handed out again, `synchronous = FULL` on the writer. FULL costs one `fsync` for each
/// transaction and makes a commit survive a power failure; NORMAL would lose the last ones.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub(super) readers: u32,
    pub(super) busy_timeout: Duration,
    pub(super) acquire_timeout: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_lifetime: Option<Duration>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(10),
            idle_timeout: None,
            max_lifetime: None,
        }
    }
}

impl SqliteOptions {
    /// The most connections that read at once, 65 536 at most; each has a thread of its own.
    #[must_use]
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// How long a statement waits for another process's lock before it fails with `SQLITE_BUSY`;
    /// 24 days at most.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
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

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_connections("readers", self.readers)?;
        check_durations(&[
            ("busy_timeout", Some(self.busy_timeout)),
            ("acquire_timeout", Some(self.acquire_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
        ])?;
        if self.busy_timeout.as_millis() > u128::from(MAX_BUSY_MILLIS) {
            let reason = format!("must be at most {MAX_BUSY_MILLIS} ms");
            return Err(ConfigError::new("busy_timeout", &reason));
        }
        Ok(())
    }
}
