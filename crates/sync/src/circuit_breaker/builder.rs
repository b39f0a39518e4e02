use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{AbandonPolicy, CircuitBreaker, state::Settings};
use crate::{
    ConfigError,
    config::{check_count, check_duration},
};

/// Configures a [`CircuitBreaker`].
#[derive(Clone, Debug)]
pub struct CircuitBreakerBuilder {
    name: String,
    consecutive_failures: u32,
    open_for: Duration,
    half_open_permits: u32,
    half_open_for: Option<Duration>,
    on_abandon: AbandonPolicy,
    clock: Arc<dyn Clock>,
}

impl CircuitBreakerBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            consecutive_failures: 5,
            open_for: Duration::from_secs(60),
            half_open_permits: 1,
            half_open_for: None,
            on_abandon: AbandonPolicy::Ignore,
            clock: Arc::new(SystemClock),
        }
    }

    /// The name under which events speak of the breaker.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many failures without a success between them open the breaker. The default is 5.
    #[must_use]
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = failures;
        self
    }

    /// How long it stays open. The default is 60 s.
    #[must_use]
    pub fn open_for(mut self, duration: Duration) -> Self {
        self.open_for = duration;
        self
    }

    /// How many calls are let through half-open; the breaker closes when all of them have
    /// succeeded. The default is 1.
    #[must_use]
    pub fn half_open_permits(mut self, permits: u32) -> Self {
        self.half_open_permits = permits;
        self
    }

    /// How long permits may be out half-open until the breaker gives them up and opens again,
    /// counted from when there was none out. The default is as long as it stays open.
    #[must_use]
    pub fn half_open_for(mut self, duration: Duration) -> Self {
        self.half_open_for = Some(duration);
        self
    }

    /// What a permit counts for that is dropped without a verdict. The default is
    /// [`AbandonPolicy::Ignore`].
    #[must_use]
    pub fn on_abandon(mut self, policy: AbandonPolicy) -> Self {
        self.on_abandon = policy;
        self
    }

    /// The clock that measures how long the breaker is open.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The breaker as configured, closed.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `consecutive_failures`,
    /// `open_for`, `half_open_permits` and `half_open_for`.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        check_count("consecutive_failures", self.consecutive_failures as usize)?;
        check_duration("open_for", self.open_for)?;
        check_count("half_open_permits", self.half_open_permits as usize)?;
        let half_open_for = self.half_open_for.unwrap_or(self.open_for);
        check_duration("half_open_for", half_open_for)?;
        let settings = Settings {
            consecutive_failures: self.consecutive_failures,
            open_for: self.open_for,
            half_open_permits: self.half_open_permits,
            half_open_for,
        };
        Ok(CircuitBreaker::from_parts(
            self.name,
            settings,
            self.on_abandon,
            self.clock,
        ))
    }
}
