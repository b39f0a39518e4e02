use std::{marker::PhantomData, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{Core, SingleFlight, flights::Flights};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_LONG_HOLD, check_duration},
    key_table::Shards,
    meters::Meters,
};

/// What becomes of work when nobody waits for it any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnobserved {
    /// It is dropped with its last caller.
    #[default]
    Abort,
    /// It goes on in a task of the runtime in which its last caller is dropped; callers that come
    /// later join it. At most one such task per key. Feature `spawn`.
    ///
    /// Where there is no runtime the work is dropped, and an event of level warn says so.
    #[cfg(feature = "spawn")]
    Detach,
}

/// Configures a [`SingleFlight`].
#[derive(Clone, Debug)]
pub struct SingleFlightBuilder<K, V, E> {
    name: String,
    long_hold: Duration,
    on_unobserved: OnUnobserved,
    clock: Arc<dyn Clock>,
    registry: Registry,
    group: PhantomData<fn(K, V, E)>,
}

impl<K, V, E> SingleFlightBuilder<K, V, E> {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            long_hold: DEFAULT_LONG_HOLD,
            on_unobserved: OnUnobserved::default(),
            clock: Arc::new(SystemClock),
            registry: Registry::global().clone(),
            group: PhantomData,
        }
    }

    /// The name under which events, metrics and the registry speak of the group.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// From how long on a watch reports a flight, by an event of level warn. The default is
    /// [`DEFAULT_LONG_HOLD`].
    #[must_use]
    pub fn long_hold(mut self, duration: Duration) -> Self {
        self.long_hold = duration;
        self
    }

    /// What becomes of work when its last caller is dropped. The default is
    /// [`OnUnobserved::Abort`].
    #[must_use]
    pub fn on_unobserved(mut self, on_unobserved: OnUnobserved) -> Self {
        self.on_unobserved = on_unobserved;
        self
    }

    /// Where a named group is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures how long flights take.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The group as configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `long_hold`.
    pub fn build(self) -> Result<SingleFlight<K, V, E>, ConfigError>
    where
        K: Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        check_duration("long_hold", self.long_hold)?;
        let core = Arc::new(Core {
            meters: Meters::new("single_flight", &self.name),
            name: self.name,
            long_hold: self.long_hold,
            clock: self.clock,
            shards: Shards::new(Flights::new),
            detach: match self.on_unobserved {
                OnUnobserved::Abort => None,
                #[cfg(feature = "spawn")]
                OnUnobserved::Detach => Some(super::detach::detach),
            },
        });
        self.registry.add(&core.name, &core);
        Ok(SingleFlight { core })
    }
}
