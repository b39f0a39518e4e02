use std::{marker::PhantomData, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{
    InitCell, InitState,
    probe::{Probe, Seen},
};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_LONG_HOLD, check_duration},
    meters::Meters,
    rt::Mutex,
};

/// Configures an [`InitCell`].
#[derive(Clone, Debug)]
pub struct InitCellBuilder<T, E> {
    name: String,
    long_hold: Duration,
    clock: Arc<dyn Clock>,
    registry: Registry,
    cell: PhantomData<fn(T, E)>,
}

impl<T, E> InitCellBuilder<T, E> {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            long_hold: DEFAULT_LONG_HOLD,
            clock: Arc::new(SystemClock),
            registry: Registry::global().clone(),
            cell: PhantomData,
        }
    }

    /// The name under which events, metrics and the registry speak of the cell.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// From how long on a watch reports an attempt, by an event of level warn. The default is
    /// [`DEFAULT_LONG_HOLD`].
    #[must_use]
    pub fn long_hold(mut self, duration: Duration) -> Self {
        self.long_hold = duration;
        self
    }

    /// Where a named cell is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures how long attempts take.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The cell as configured, idle.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `long_hold`.
    pub fn build(self) -> Result<InitCell<T, E>, ConfigError> {
        check_duration("long_hold", self.long_hold)?;
        let mut cell = InitCell::new();
        if !self.name.is_empty() {
            let since = self.clock.monotonic();
            let probe = Arc::new(Probe {
                meters: Meters::new("init_cell", &self.name),
                name: self.name,
                long_hold: self.long_hold,
                clock: self.clock,
                seen: Mutex::new(Seen {
                    state: InitState::Idle,
                    since,
                    attempts: 0,
                    failures: 0,
                    is_reported: false,
                }),
            });
            self.registry.add(&probe.name, &probe);
            cell.probe = Some(probe);
        }
        Ok(cell)
    }
}
