use std::{marker::PhantomData, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::Throttle;
use crate::{
    ConfigError, Edges,
    config::check_duration,
    paced::{Paced, window::Pace},
};

/// Configures a [`Throttle`].
#[derive(Clone, Debug)]
pub struct ThrottleBuilder<T> {
    name: String,
    interval: Duration,

    edges: Edges,
    clock: Arc<dyn Clock>,
    values: PhantomData<fn() -> T>,
}

impl<T> ThrottleBuilder<T> {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            name: String::new(),
            interval,

            edges: Edges::Both,
            clock: Arc::new(SystemClock),
            values: PhantomData,
        }
    }

    /// The name under which events speak of it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Which calls are run. The default is [`Edges::Both`].
    #[must_use]
    pub fn edges(mut self, edges: Edges) -> Self {
        self.edges = edges;
        self
    }

    /// The clock that measures the windows.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The throttle as configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `interval`.
    pub fn build(self) -> Result<Throttle<T>, ConfigError> {
        check_duration("interval", self.interval)?;
        let pace = Pace {
            wait: self.interval,
            is_sliding: false,
            max_wait: None,
            edges: self.edges,
        };
        Ok(Throttle {
            paced: Paced::new(self.name, pace, self.clock),
        })
    }
}
