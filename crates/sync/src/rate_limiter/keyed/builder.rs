use std::{marker::PhantomData, sync::Arc};

use steadfast_clock::{Clock, SystemClock};

use super::{super::Quota, KeyedRateLimiter};
use crate::{
    ConfigError,
    config::{DEFAULT_MAX_WAITERS, check_count},
};

/// How many keys are tracked unless the builder says otherwise.
const DEFAULT_MAX_KEYS: usize = 1_000_000;

/// Configures a [`KeyedRateLimiter`].
#[derive(Clone, Debug)]
pub struct KeyedRateLimiterBuilder<K> {
    pub(super) name: String,
    pub(super) quota: Quota,
    pub(super) max_waiters: usize,
    pub(super) max_keys: usize,
    pub(super) clock: Arc<dyn Clock>,
    keys: PhantomData<fn() -> K>,
}

impl<K> KeyedRateLimiterBuilder<K> {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            name: String::new(),
            quota,
            max_waiters: DEFAULT_MAX_WAITERS,
            max_keys: DEFAULT_MAX_KEYS,
            clock: Arc::new(SystemClock),
            keys: PhantomData,
        }
    }

    /// The name under which events speak of the limiter.
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

    /// How many keys may be tracked at once, at least one. The default is a million.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// The clock that measures the rate. Where callers wait, it has to run along with tokio's
    /// time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The limiter as configured; every key has its whole burst at hand.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `max_waiters` and `max_keys`.
    pub fn build(self) -> Result<KeyedRateLimiter<K>, ConfigError> {
        check_count("max_waiters", self.max_waiters)?;
        check_count("max_keys", self.max_keys)?;
        Ok(KeyedRateLimiter::from_builder(self))
    }
}
