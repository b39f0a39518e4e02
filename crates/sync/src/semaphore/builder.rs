use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{Core, Semaphore, state::State};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_LONG_WAIT, DEFAULT_MAX_WAITERS, check_count, check_duration},
    meters::Meters,
    rt::Mutex,
};

/// Configures a [`Semaphore`].
#[derive(Clone, Debug)]
pub struct SemaphoreBuilder {
    name: String,
    capacity: usize,
    max_waiters: usize,
    long_wait: Duration,
    clock: Arc<dyn Clock>,
    registry: Registry,
}

impl SemaphoreBuilder {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            name: String::new(),
            capacity,
            max_waiters: DEFAULT_MAX_WAITERS,
            long_wait: DEFAULT_LONG_WAIT,
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

    /// From how long on a wait is reported, by an event of level warn. The default is
    /// [`DEFAULT_LONG_WAIT`].
    #[must_use]
    pub fn long_wait(mut self, duration: Duration) -> Self {
        self.long_wait = duration;
        self
    }

    /// Where a named semaphore is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures waits.
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
    /// [`ConfigError::TooLarge`] for `long_wait`.
    pub fn build(self) -> Result<Semaphore, ConfigError> {
        check_count("capacity", self.capacity)?;
        check_count("max_waiters", self.max_waiters)?;
        check_duration("long_wait", self.long_wait)?;
        let core = Arc::new(Core {
            meters: Meters::new("semaphore", &self.name),
            name: self.name,
            max_waiters: self.max_waiters,
            long_wait: self.long_wait,
            clock: self.clock,
            state: Mutex::new(State::new(self.capacity)),
        });
        self.registry.add(&core.name, &core);
        Ok(Semaphore { core })
    }
}
