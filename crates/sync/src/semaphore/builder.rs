use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{Semaphore, core::Core};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_MAX_WAITERS, check_count},
    overdue::Thresholds,
};

/// Configures a [`Semaphore`].
#[derive(Clone, Debug)]
pub struct SemaphoreBuilder {
    pub(super) name: String,
    pub(super) capacity: usize,
    pub(super) max_waiters: usize,
    pub(super) thresholds: Thresholds,
    pub(super) clock: Arc<dyn Clock>,
    registry: Registry,
}

impl SemaphoreBuilder {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            name: String::new(),
            capacity,
            max_waiters: DEFAULT_MAX_WAITERS,
            thresholds: Thresholds::new(),
            clock: Arc::new(SystemClock),
            registry: Registry::global().clone(),
        }
    }

    /// The name under which events, metrics and the registry speak of the semaphore.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many callers may wait, at least one. The default is [`DEFAULT_MAX_WAITERS`].
    #[must_use]
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.max_waiters = max_waiters;
        self
    }

    /// From how long on a hold is reported, by an event of level warn; it is never ended. The
    /// default is [`DEFAULT_LONG_HOLD`](crate::DEFAULT_LONG_HOLD).
    #[must_use]
    pub fn long_hold(mut self, duration: Duration) -> Self {
        self.thresholds.long_hold = duration;
        self
    }

    /// From how long on a wait is reported, by an event of level warn. The default is
    /// [`DEFAULT_LONG_WAIT`](crate::DEFAULT_LONG_WAIT).
    #[must_use]
    pub fn long_wait(mut self, duration: Duration) -> Self {
        self.thresholds.long_wait = duration;
        self
    }

    /// Has waiters report, by an event of level warn, a grant ahead of them that has lain
    /// unclaimed for this long: it was given to a future that is not polled.
    ///
    /// It costs each wait a tokio timer. Without it, [`Registry::watch`] reports such grants of
    /// named semaphores after [`DEFAULT_GRACE`](crate::DEFAULT_GRACE).
    #[must_use]
    pub fn grace(mut self, duration: Duration) -> Self {
        self.thresholds.grace = Some(duration);
        self
    }

    /// Passes permits that lie unclaimed after [`grace`](Self::grace) on to the next waiters. The
    /// future that did not come for them goes to the end of the queue.
    #[must_use]
    pub fn revoke_unclaimed(mut self) -> Self {
        self.thresholds.revoke = true;
        self
    }

    /// Where a named semaphore is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures holds and waits.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The semaphore as configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `capacity` and `max_waiters`, [`ConfigError::Zero`] and
    /// [`ConfigError::TooLarge`] for the durations, [`ConfigError::Needs`] for `revoke_unclaimed`
    /// without `grace`.
    pub fn build(self) -> Result<Semaphore, ConfigError> {
        check_count("capacity", self.capacity)?;
        check_count("max_waiters", self.max_waiters)?;
        self.thresholds.check()?;
        let registry = self.registry.clone();
        let core = Arc::new(Core::new(self));
        registry.add(&core.name, &core);
        Ok(Semaphore { core })
    }
}
