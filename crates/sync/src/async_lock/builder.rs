use std::{fmt::Debug, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{AsyncLock, core::Core};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_MAX_WAITERS, check_count},
    overdue::Thresholds,
};

/// Configures an [`AsyncLock`].
#[derive(Clone, Debug)]
pub struct AsyncLockBuilder<K> {
    pub(super) name: String,
    pub(super) max_waiters: usize,
    pub(super) thresholds: Thresholds,
    pub(super) show: Option<fn(&K) -> String>,
    pub(super) clock: Arc<dyn Clock>,
    registry: Registry,
}

impl<K> AsyncLockBuilder<K> {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            max_waiters: DEFAULT_MAX_WAITERS,
            thresholds: Thresholds::new(),
            show: None,
            clock: Arc::new(SystemClock),
            registry: Registry::global().clone(),
        }
    }

    /// The name under which events, metrics and the registry speak of the lock.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many callers may wait for one key, at least one. The default is
    /// [`DEFAULT_MAX_WAITERS`].
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
    /// named locks after [`DEFAULT_GRACE`](crate::DEFAULT_GRACE).
    #[must_use]
    pub fn grace(mut self, duration: Duration) -> Self {
        self.thresholds.grace = Some(duration);
        self
    }

    /// Passes a grant that lies unclaimed after [`grace`](Self::grace) on to the next waiter. The
    /// future that did not come for it goes to the end of the queue.
    #[must_use]
    pub fn revoke_unclaimed(mut self) -> Self {
        self.thresholds.revoke = true;
        self
    }

    /// Shows keys in snapshots and in the events of [`Registry::watch`], as their `Debug` does.
    /// Otherwise they are not shown, since they may be private.
    #[must_use]
    pub fn show_keys(mut self) -> Self
    where
        K: Debug,
    {
        self.show = Some(|key| format!("{key:?}"));
        self
    }

    /// Where a named lock is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures how long keys are held and waited for.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The lock as configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `max_waiters`, [`ConfigError::Zero`] and
    /// [`ConfigError::TooLarge`] for the durations, [`ConfigError::Needs`] for `revoke_unclaimed`
    /// without `grace`.
    pub fn build(self) -> Result<AsyncLock<K>, ConfigError>
    where
        K: Send + Sync + 'static,
    {
        check_count("max_waiters", self.max_waiters)?;
        self.thresholds.check()?;
        let registry = self.registry.clone();
        let core = Arc::new(Core::new(self));
        registry.add(&core.name, &core);
        Ok(AsyncLock { core })
    }
}
