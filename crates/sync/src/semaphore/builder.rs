use std::sync::Arc;

use steadfast_clock::{Clock, SystemClock};

use super::Semaphore;
use crate::{
    ConfigError,
    config::{DEFAULT_MAX_WAITERS, check_count},
};

/// Configures a [`Semaphore`].
#[derive(Clone, Debug)]
pub struct SemaphoreBuilder {
    name: String,
    capacity: usize,
    max_waiters: usize,
    clock: Arc<dyn Clock>,
}

impl SemaphoreBuilder {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            name: String::new(),
            capacity,
            max_waiters: DEFAULT_MAX_WAITERS,
            clock: Arc::new(SystemClock),
        }
    }

    /// The name under which events speak of the semaphore.
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
    /// [`ConfigError::Zero`] for `capacity` and `max_waiters`.
    pub fn build(self) -> Result<Semaphore, ConfigError> {
        check_count("capacity", self.capacity)?;
        check_count("max_waiters", self.max_waiters)?;
        Ok(Semaphore::from_parts(
            self.name,
            self.capacity,
            self.max_waiters,
            self.clock,
        ))
    }
}
