use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{
    Edges, KeyedPaced,
    core::{Core, Settings},
    front::{Debouncing, Front, Pacing},
    window::Pace,
};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_LONG_HOLD, check_count, check_duration},
};

/// How many runs of different keys run side by side unless the builder says otherwise.
pub const DEFAULT_MAX_CONCURRENCY: usize = 16;

/// How many keys are remembered unless the builder says otherwise.
const DEFAULT_MAX_KEYS: usize = 1_000_000;

/// Configures a [`Debounce`](crate::Debounce), a [`Throttle`](crate::Throttle) or one with keys.
pub struct PacedBuilder<F: Front> {
    settings: Settings<F::Value>,
    registry: Registry,
    built: PhantomData<fn() -> F>,
}

impl<F: Front> PacedBuilder<F> {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            settings: Settings {
                name: String::new(),
                kind: F::KIND,
                pace: Pace {
                    wait: window,
                    slides: F::Pacing::SLIDES,
                    max_wait: None,
                    edges: F::Pacing::EDGES,
                },
                fold: None,
                max_keys: DEFAULT_MAX_KEYS,
                max_concurrency: DEFAULT_MAX_CONCURRENCY,
                long_hold: DEFAULT_LONG_HOLD,
                clock: Arc::new(SystemClock),
            },
            registry: Registry::global().clone(),
            built: PhantomData,
        }
    }

    /// The name under which events, metrics and the registry speak of it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Which calls are run. The default is [`Edges::Trailing`] for a debounce and [`Edges::Both`]
    /// for a throttle.
    #[must_use]
    pub fn edges(mut self, edges: Edges) -> Self {
        self.settings.pace.edges = edges;
        self
    }

    /// Folds the calls held back in one window into one value, where by default the latest wins:
    /// from what is held and the value of a call it makes what is held then.
    ///
    /// Nothing is locked while it runs, on the caller's thread; what is held is not run before it
    /// is done. Calls made one after the other are folded in their order. Values of calls made at
    /// the same time may be folded with one another first and in any order, so make it
    /// associative and commutative, as the union of sets is, if there are several callers. The
    /// call that is run at the leading edge is not folded with others.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{collections::BTreeSet, time::Duration};
    /// use steadfast_sync::Debounce;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let changed = Debounce::builder(Duration::from_millis(20))
    ///     .fold(|mut held: BTreeSet<&str>, new| {
    ///         held.extend(new);
    ///         held
    ///     })
    ///     .build()?;
    /// for file in ["a.rs", "b.rs", "a.rs"] {
    ///     changed.call(BTreeSet::from([file]))?;
    /// }
    /// let mut seen = Vec::new();
    /// let drive = changed.drive(|files| {
    ///     seen.extend(files);
    ///     async {}
    /// });
    /// let (driven, closed) = tokio::join!(drive, changed.close());
    /// driven?;
    /// closed?;
    /// assert_eq!(seen, ["a.rs", "b.rs"]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn fold(
        mut self,
        fold: impl Fn(F::Value, F::Value) -> F::Value + Send + Sync + 'static,
    ) -> Self {
        self.settings.fold = Some(Arc::new(fold));
        self
    }

    /// From how long on a run is reported, and a call that is due and not run, by an event of
    /// level warn. The default is [`DEFAULT_LONG_HOLD`].
    #[must_use]
    pub fn long_hold(mut self, duration: Duration) -> Self {
        self.settings.long_hold = duration;
        self
    }

    /// Where a named one is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures the windows.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// What was configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for the duration of a window (`wait` or
    /// `interval`), `max_wait` and `long_hold`, [`ConfigError::LessThan`] for a `max_wait` below
    /// `wait`, [`ConfigError::Zero`] for `max_keys` and `max_concurrency`.
    pub fn build(self) -> Result<F, ConfigError>
    where
        F::Key: Send + Sync + 'static,
        F::Value: Send + 'static,
    {
        let settings = self.settings;
        let pace = &settings.pace;
        check_duration(F::Pacing::WINDOW, pace.wait)?;
        if let Some(max_wait) = pace.max_wait {
            check_duration("max_wait", max_wait)?;
            if max_wait < pace.wait {
                let (field, other) = ("max_wait", F::Pacing::WINDOW);
                return Err(ConfigError::LessThan { field, other });
            }
        }
        check_duration("long_hold", settings.long_hold)?;
        check_count("max_keys", settings.max_keys)?;
        check_count("max_concurrency", settings.max_concurrency)?;
        let core = Arc::new(Core::new(settings));
        self.registry.add(&core.name, &core);
        Ok(F::from_core(core))
    }
}

impl<F: Front<Pacing = Debouncing>> PacedBuilder<F> {
    /// How long a call is held back at most while others keep coming. There is no bound by
    /// default. With [`Edges::Leading`] nothing is held back, and it has no effect. A throttle
    /// holds back no call for longer than its interval anyway.
    #[must_use]
    pub fn max_wait(mut self, duration: Duration) -> Self {
        self.settings.pace.max_wait = Some(duration);
        self
    }
}

impl<K, T, P: Pacing> PacedBuilder<KeyedPaced<K, T, P>> {
    /// How many keys are remembered at most, at least one. The default is a million.
    #[must_use]
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.settings.max_keys = max_keys;
        self
    }

    /// How many runs of different keys run side by side at most, at least one. The default is
    /// [`DEFAULT_MAX_CONCURRENCY`].
    #[must_use]
    pub fn max_concurrency(mut self, runs: usize) -> Self {
        self.settings.max_concurrency = runs;
        self
    }
}

impl<F: Front> fmt::Debug for PacedBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedBuilder")
            .field("name", &self.settings.name)
            .field("kind", &self.settings.kind)
            .field("pace", &self.settings.pace)
            .finish_non_exhaustive()
    }
}
