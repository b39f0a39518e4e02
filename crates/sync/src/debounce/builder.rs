use std::{marker::PhantomData, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::Debounce;
use crate::{
    ConfigError, Edges,
    config::check_duration,
    paced::{Paced, window::Pace},
};

/// Configures a [`Debounce`].
#[derive(Clone, Debug)]
pub struct DebounceBuilder<T> {
    name: String,
    wait: Duration,
    max_wait: Option<Duration>,
    edges: Edges,
    clock: Arc<dyn Clock>,
    values: PhantomData<fn() -> T>,
}

impl<T> DebounceBuilder<T> {
    pub(super) fn new(wait: Duration) -> Self {
        Self {
            name: String::new(),
            wait,
            max_wait: None,
            edges: Edges::Trailing,
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

    /// Which calls are run. The default is [`Edges::Trailing`].
    #[must_use]
    pub fn edges(mut self, edges: Edges) -> Self {
        self.edges = edges;
        self
    }

    /// How long a call is held back at most while others keep coming. There is no bound by
    /// default. With [`Edges::Leading`] nothing is held back, and it has no effect.
    #[must_use]
    pub fn max_wait(mut self, duration: Duration) -> Self {
        self.max_wait = Some(duration);
        self
    }

    /// The clock that measures the windows.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The debounce as configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `wait` and `max_wait`, and
    /// [`ConfigError::LessThan`] for a `max_wait` below `wait`.
    pub fn build(self) -> Result<Debounce<T>, ConfigError> {
        check_duration("wait", self.wait)?;
        if let Some(max_wait) = self.max_wait {
            check_duration("max_wait", max_wait)?;
            if max_wait < self.wait {
                let (field, other) = ("max_wait", "wait");
                return Err(ConfigError::LessThan { field, other });
            }
        }
        let pace = Pace {
            wait: self.wait,
            is_sliding: true,
            max_wait: self.max_wait,
            edges: self.edges,
        };
        Ok(Debounce {
            paced: Paced::new(self.name, pace, self.clock),
        })
    }
}
