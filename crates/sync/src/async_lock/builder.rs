use std::{marker::PhantomData, sync::Arc};

use steadfast_clock::{Clock, SystemClock};

use super::AsyncLock;
use crate::{
    ConfigError,
    config::{DEFAULT_MAX_WAITERS, check_count},
};

/// Configures an [`AsyncLock`].
#[derive(Clone, Debug)]
pub struct AsyncLockBuilder<K> {
    name: String,
    max_waiters: usize,
    clock: Arc<dyn Clock>,
    keys: PhantomData<fn() -> K>,
}

impl<K> AsyncLockBuilder<K> {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            max_waiters: DEFAULT_MAX_WAITERS,
            clock: Arc::new(SystemClock),
            keys: PhantomData,
        }
    }

    /// The name under which events speak of the lock.
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
    /// [`ConfigError::Zero`] for `max_waiters`.
    pub fn build(self) -> Result<AsyncLock<K>, ConfigError> {
        check_count("max_waiters", self.max_waiters)?;
        Ok(AsyncLock::from_parts(
            self.name,
            self.max_waiters,
            self.clock,
        ))
    }
}
