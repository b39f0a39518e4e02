use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use crate::{BuildError, Grant, LeaseLock, LockBackend, MAX_TTL};

/// How long the names of keys and owners may be.
pub const MAX_NAME_BYTES: usize = 512;

/// Settings of a [`LeaseLock`].
pub struct LeaseLockBuilder {
    backend: Arc<dyn LockBackend>,
    key: Arc<str>,
    owner: Arc<str>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    renew_every: Option<Duration>,
    margin: Option<Duration>,
    retry_every: Option<Duration>,
    acquire_timeout: Duration,
}

/// The time limits of a lock, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) ttl: Duration,
    pub(crate) renew_every: Duration,
    pub(crate) margin: Duration,
    pub(crate) retry_every: Duration,
    pub(crate) acquire_timeout: Duration,
}

impl LeaseLockBuilder {
    pub(crate) fn new(
        backend: Arc<dyn LockBackend>,
        key: impl Into<Arc<str>>,
        owner: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            backend,
            key: key.into(),
            owner: owner.into(),
            clock: Arc::new(SystemClock),
            ttl: Duration::from_secs(30),
            renew_every: None,
            margin: None,
            retry_every: None,
            acquire_timeout: Duration::from_secs(60),
        }
    }

    /// Sets how long a lease lasts without being renewed, and thus how long the others wait for a
    /// holder that has died; 30 s by default, [`MAX_TTL`] at most.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the time from one renewal to the next; a third of the time to live by default.
    #[must_use]
    pub fn renew_every(mut self, interval: Duration) -> Self {
        self.renew_every = Some(interval);
        self
    }

    /// Sets how long before its expiry a lease that could not be renewed is given up, which is how
    /// long the work has to end; a tenth of the time to live by default.
    #[must_use]
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// Sets the time between two attempts to get a lease that another holds, or to renew after an
    /// error; a tenth of the time to live by default. Each time is cut by up to a half, different
    /// for each owner, so that many do not ask at once.
    #[must_use]
    pub fn retry_every(mut self, interval: Duration) -> Self {
        self.retry_every = Some(interval);
        self
    }

    /// Sets how long [`LeaseLock::run`] waits for the lease; 60 s by default.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets where the time comes from; [`SystemClock`] by default. It must be the backend's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming the setting at fault: among others if the first renewal would come
    /// after the work has been cancelled.
    pub fn build(self) -> Result<LeaseLock, BuildError> {
        for (field, name) in [("key", &self.key), ("owner", &self.owner)] {
            let bytes = name.len();
            if !(1..=MAX_NAME_BYTES).contains(&bytes) {
                return Err(BuildError::NameLength { field, bytes });
            }
        }
        let limits = Limits {
            ttl: self.ttl,
            renew_every: self.renew_every.unwrap_or(self.ttl / 3),
            margin: self.margin.unwrap_or(self.ttl / 10),
            retry_every: self.retry_every.unwrap_or(self.ttl / 10),
            acquire_timeout: self.acquire_timeout,
        };
        limits.check()?;
        Ok(LeaseLock::new(
            self.backend,
            self.key,
            self.owner,
            self.clock,
            limits,
        ))
    }
}

impl Limits {
    fn check(&self) -> Result<(), BuildError> {
        for (field, value) in [
            ("ttl", self.ttl),
            ("renew_every", self.renew_every),
            ("margin", self.margin),
            ("retry_every", self.retry_every),
            ("acquire_timeout", self.acquire_timeout),
        ] {
            if value.is_zero() {
                return Err(BuildError::ZeroDuration { field });
            }
        }
        if self.ttl > MAX_TTL {
            return Err(BuildError::TtlTooLong { ttl: self.ttl });
        }
        let validity = self.ttl.saturating_sub(Grant::drift(self.ttl));
        if self.renew_every.saturating_add(self.margin) >= validity {
            return Err(BuildError::RenewsTooLate {
                renew_every: self.renew_every,
                margin: self.margin,
                validity,
                ttl: self.ttl,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for LeaseLockBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseLockBuilder")
            .field("key", &self.key)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
