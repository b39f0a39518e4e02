use std::sync::Arc;

use steadfast_clock::{Clock, SystemClock};

use super::{Quota, RateLimiter};
use crate::{
    ConfigError,
    config::{DEFAULT_MAX_WAITERS, check_count},
};

/// Configures a [`RateLimiter`].
#[derive(Clone, Debug)]
pub struct RateLimiterBuilder {
    name: String,
    quota: Quota,
    max_waiters: usize,
    clock: Arc<dyn Clock>,
}

impl RateLimiterBuilder {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            name: String::new(),
            quota,
            max_waiters: DEFAULT_MAX_WAITERS,
            clock: Arc::new(SystemClock),
        }
    }

    /// The name under which events speak of the limiter.
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

    /// The clock that measures the rate. Where callers wait, it has to run along with tokio's
    /// time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The limiter as configured, with its whole burst at hand.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `max_waiters`.
    pub fn build(self) -> Result<RateLimiter, ConfigError> {
        check_count("max_waiters", self.max_waiters)?;
        Ok(RateLimiter::from_parts(
            self.name,
            self.quota,
            self.max_waiters,
            self.clock,
        ))
    }
}
