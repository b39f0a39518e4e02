use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{Quota, RateLimiter, settings::Settings};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_MAX_WAITERS, check_count},
    meters::Meters,
    overdue::Thresholds,
    rt::atomic::AtomicU64,
};

/// Configures a [`RateLimiter`].
#[derive(Clone, Debug)]
pub struct RateLimiterBuilder {
    quota: Quota,
    options: Options,
}

/// What the builders of both kinds of limiter are told.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) name: String,
    pub(super) max_waiters: usize,
    pub(super) thresholds: Thresholds,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Registry,
}

impl Options {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            max_waiters: DEFAULT_MAX_WAITERS,
            thresholds: Thresholds::new(),
            clock: Arc::new(SystemClock),
            registry: Registry::global().clone(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_count("max_waiters", self.max_waiters)?;
        self.thresholds.check()
    }

    pub(super) fn settings(self, kind: &'static str) -> Settings {
        Settings {
            meters: Meters::new(kind, &self.name),
            name: self.name,
            max_waiters: self.max_waiters,
            thresholds: self.thresholds,
            origin: self.clock.monotonic(),
            clock: self.clock,
            refused: AtomicU64::new(0),
        }
    }
}

impl RateLimiterBuilder {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            options: Options::new(),
        }
    }

    /// The name under which events, metrics and the registry speak of the limiter.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// How many callers may wait, at least one. The default is [`DEFAULT_MAX_WAITERS`].
    #[must_use]
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.options.max_waiters = max_waiters;
        self
    }

    /// From how long on a wait is reported, by an event of level warn. The default is
    /// [`DEFAULT_LONG_WAIT`](crate::DEFAULT_LONG_WAIT).
    #[must_use]
    pub fn long_wait(mut self, duration: Duration) -> Self {
        self.options.thresholds.long_wait = duration;
        self
    }

    /// Has waiters report, by an event of level warn, one ahead of them that has not come for its
    /// units for this long: a future that is not polled.
    ///
    /// It costs each wait a tokio timer. Without it, [`Registry::watch`] reports such waiters of
    /// named limiters after [`DEFAULT_GRACE`](crate::DEFAULT_GRACE).
    #[must_use]
    pub fn grace(mut self, duration: Duration) -> Self {
        self.options.thresholds.grace = Some(duration);
        self
    }

    /// Lets the next waiter move up when the first has not come for its units after
    /// [`grace`](Self::grace). The future that did not come goes to the end of the line; it has
    /// taken nothing.
    #[must_use]
    pub fn revoke_unclaimed(mut self) -> Self {
        self.options.thresholds.revoke = true;
        self
    }

    /// Where a named limiter is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.options.registry = registry.clone();
        self
    }

    /// The clock that measures the rate. Where callers wait, it has to run along with tokio's
    /// time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// The limiter as configured, with its whole burst at hand.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `max_waiters`, [`ConfigError::Zero`] and
    /// [`ConfigError::TooLarge`] for the durations, [`ConfigError::Needs`] for `revoke_unclaimed`
    /// without `grace`.
    pub fn build(self) -> Result<RateLimiter, ConfigError> {
        self.options.check()?;
        let registry = self.options.registry.clone();
        let settings = self.options.settings("rate_limiter");
        Ok(RateLimiter::from_parts(self.quota, settings, &registry))
    }
}
