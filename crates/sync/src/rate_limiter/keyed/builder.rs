use std::{marker::PhantomData, sync::Arc, time::Duration};

use steadfast_clock::Clock;

use super::{
    super::{Quota, builder::Options},
    KeyedRateLimiter,
};
use crate::{ConfigError, Registry, config::check_count};

/// How many keys are tracked unless the builder says otherwise.
const DEFAULT_MAX_KEYS: usize = 1_000_000;

/// Configures a [`KeyedRateLimiter`].
#[derive(Clone, Debug)]
pub struct KeyedRateLimiterBuilder<K> {
    pub(super) quota: Quota,
    pub(super) max_keys: usize,
    pub(super) options: Options,
    keys: PhantomData<fn() -> K>,
}

impl<K> KeyedRateLimiterBuilder<K> {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            max_keys: DEFAULT_MAX_KEYS,
            options: Options::new(),
            keys: PhantomData,
        }
    }

    /// The name under which events, metrics and the registry speak of the limiter.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// How many callers may wait for one key, at least one. The default is
    /// [`DEFAULT_MAX_WAITERS`](crate::DEFAULT_MAX_WAITERS).
    #[must_use]
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.options.max_waiters = max_waiters;
        self
    }

    /// How many keys may be tracked at once, at least one. The default is a million.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
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

    /// The limiter as configured; every key has its whole burst at hand.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `max_waiters` and `max_keys`, [`ConfigError::Zero`] and
    /// [`ConfigError::TooLarge`] for the durations, [`ConfigError::Needs`] for `revoke_unclaimed`
    /// without `grace`.
    pub fn build(self) -> Result<KeyedRateLimiter<K>, ConfigError>
    where
        K: Send + Sync + 'static,
    {
        self.options.check()?;
        check_count("max_keys", self.max_keys)?;
        let registry = self.options.registry.clone();
        let limiter = KeyedRateLimiter::from_builder(self);
        registry.add(limiter.name(), &limiter.core);
        Ok(limiter)
    }
}
