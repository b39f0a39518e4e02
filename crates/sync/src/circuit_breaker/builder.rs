use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{
    AbandonPolicy, CircuitBreaker,
    core::Core,
    state::{OpenGrowth, Settings, SlowCalls},
    window::WindowKind,
};
use crate::{
    ConfigError, Registry,
    config::{DEFAULT_MAX_WAITERS, check_count, check_duration},
};

/// The most calls that a count window holds; it takes two bytes for each.
const MAX_WINDOW_CALLS: u32 = 1_000_000;

/// The largest factor by which the open time grows.
const MAX_GROWTH: f64 = 1_000.0;

const DEFAULT_CONSECUTIVE_FAILURES: u32 = 5;
const DEFAULT_WINDOW: WindowKind = WindowKind::Count(100);
const DEFAULT_MINIMUM_CALLS: u32 = 20;

/// Configures a [`CircuitBreaker`].
///
/// It opens as soon as one of its conditions is met: [`consecutive_failures`], [`failure_rate`],
/// [`slow_call_rate`]. Without any, it opens after 5 failures in a row.
///
/// [`consecutive_failures`]: Self::consecutive_failures
/// [`failure_rate`]: Self::failure_rate
/// [`slow_call_rate`]: Self::slow_call_rate
#[derive(Clone, Debug)]
pub struct CircuitBreakerBuilder {
    name: String,
    consecutive_failures: Option<u32>,
    failure_rate: Option<f64>,
    slow_calls: Option<SlowCalls>,
    window: Option<WindowKind>,
    minimum_calls: Option<u32>,
    open_for: Duration,
    open_growth: Option<OpenGrowth>,
    half_open_permits: u32,
    half_open_for: Option<Duration>,
    on_abandon: AbandonPolicy,
    max_waiters: usize,
    clock: Arc<dyn Clock>,
    registry: Registry,
}

impl CircuitBreakerBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            consecutive_failures: None,
            failure_rate: None,
            slow_calls: None,
            window: None,
            minimum_calls: None,
            open_for: Duration::from_secs(60),
            open_growth: None,
            half_open_permits: 1,
            half_open_for: None,
            on_abandon: AbandonPolicy::Ignore,
            max_waiters: DEFAULT_MAX_WAITERS,
            clock: Arc::new(SystemClock),
            registry: Registry::global().clone(),
        }
    }

    /// The name under which events, metrics and the registry speak of the breaker.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Opens after so many failures without a success between them. It is 5 if no condition is
    /// given, and no condition if another one is.
    #[must_use]
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Opens when this part of the calls in the window failed, above 0 and at most 1.
    #[must_use]
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.failure_rate = Some(rate);
        self
    }

    /// Opens when this part of the calls in the window took `slow_after` or longer, above 0 and at
    /// most 1.
    ///
    /// Time counts from the permit to its verdict. A slow call may have succeeded or failed; half
    /// open, it opens the breaker again. It costs two readings of the clock a call.
    #[must_use]
    pub fn slow_call_rate(mut self, rate: f64, slow_after: Duration) -> Self {
        self.slow_calls = Some(SlowCalls {
            rate,
            after: slow_after,
        });
        self
    }

    /// Computes the rates over the last `calls` verdicts, at most a million. The default is a
    /// window of 100 calls; of this and [`time_window`](Self::time_window) the last one counts.
    #[must_use]
    pub fn count_window(mut self, calls: u32) -> Self {
        self.window = Some(WindowKind::Count(calls));
        self
    }

    /// Computes the rates over the verdicts of the last `duration`. The window moves on by tenths
    /// of it: a verdict counts for nine tenths at least, and never for longer than `duration`. It
    /// takes the same little memory whatever the number of calls.
    #[must_use]
    pub fn time_window(mut self, duration: Duration) -> Self {
        self.window = Some(WindowKind::Time(duration));
        self
    }

    /// How many verdicts the window must hold before rates are looked at. The default is 20, or
    /// the size of a count window that is smaller.
    #[must_use]
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = Some(calls);
        self
    }

    /// How long it stays open. The default is 60 s.
    #[must_use]
    pub fn open_for(mut self, duration: Duration) -> Self {
        self.open_for = duration;
        self
    }

    /// Lets it stay open `factor` times as long each time that it opens again before it has
    /// closed, and at most `max_open_for`. The default is always as long.
    #[must_use]
    pub fn open_growth(mut self, factor: f64, max_open_for: Duration) -> Self {
        self.open_growth = Some(OpenGrowth {
            factor,
            max: max_open_for,
        });
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
    /// counted from when there was none out. The default is [`open_for`](Self::open_for).
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

    /// How many callers may wait until it is ready, at least one. The default is
    /// [`DEFAULT_MAX_WAITERS`].
    #[must_use]
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.max_waiters = max_waiters;
        self
    }

    /// Where a named breaker is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures how long calls take and how long the breaker is open.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The breaker as configured, closed.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for what counts or lasts,
    /// [`ConfigError::OutOfRange`] for rates and the factor of growth, and
    /// [`ConfigError::LessThan`] if a count window is smaller than `minimum_calls`, or
    /// `max_open_for` than `open_for`.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        let settings = self.settings()?;
        let core = Arc::new(Core::new(self.name, settings, self.clock));
        self.registry.add(&core.name, &core);
        Ok(CircuitBreaker { core })
    }

    fn settings(&self) -> Result<Settings, ConfigError> {
        let has_rate = self.failure_rate.is_some() || self.slow_calls.is_some();
        let consecutive_failures = self
            .consecutive_failures
            .or_else(|| (!has_rate).then_some(DEFAULT_CONSECUTIVE_FAILURES));
        if let Some(failures) = consecutive_failures {
            check_count("consecutive_failures", failures as usize)?;
        }
        if let Some(rate) = self.failure_rate {
            check_rate("failure_rate", rate)?;
        }
        if let Some(SlowCalls { rate, after }) = self.slow_calls {
            check_rate("slow_call_rate", rate)?;
            check_duration("slow_after", after)?;
        }
        let window = self.window.or_else(|| has_rate.then_some(DEFAULT_WINDOW));
        let minimum_calls = self.checked_minimum_calls(window)?;
        check_duration("open_for", self.open_for)?;
        if let Some(OpenGrowth { factor, max }) = self.open_growth {
            if !(1.0..=MAX_GROWTH).contains(&factor) {
                let (field, allowed) = ("open_growth", "from 1 to 1000");
                return Err(ConfigError::OutOfRange { field, allowed });
            }
            check_duration("max_open_for", max)?;
            if max < self.open_for {
                let (field, other) = ("max_open_for", "open_for");
                return Err(ConfigError::LessThan { field, other });
            }
        }
        check_count("half_open_permits", self.half_open_permits as usize)?;
        let half_open_for = self.half_open_for.unwrap_or(self.open_for);
        check_duration("half_open_for", half_open_for)?;
        check_count("max_waiters", self.max_waiters)?;
        Ok(Settings {
            consecutive_failures,
            failure_rate: self.failure_rate,
            slow_calls: self.slow_calls,
            window,
            minimum_calls,
            open_for: self.open_for,
            open_growth: self.open_growth,
            half_open_permits: self.half_open_permits,
            half_open_for,
            on_abandon: self.on_abandon,
            max_waiters: self.max_waiters,
        })
    }

    fn checked_minimum_calls(&self, window: Option<WindowKind>) -> Result<u32, ConfigError> {
        let minimum_calls = self.minimum_calls.unwrap_or(DEFAULT_MINIMUM_CALLS);
        check_count("minimum_calls", minimum_calls as usize)?;
        match window {
            Some(WindowKind::Count(calls)) => {
                check_count("count_window", calls as usize)?;
                if calls > MAX_WINDOW_CALLS {
                    let (field, max) = ("count_window", MAX_WINDOW_CALLS.to_string());
                    return Err(ConfigError::TooLarge { field, max });
                }
                if self.minimum_calls.is_some_and(|minimum| minimum > calls) {
                    let (field, other) = ("count_window", "minimum_calls");
                    return Err(ConfigError::LessThan { field, other });
                }
                Ok(minimum_calls.min(calls))
            }
            Some(WindowKind::Time(duration)) => {
                check_duration("time_window", duration)?;
                Ok(minimum_calls)
            }
            None => Ok(minimum_calls),
        }
    }
}

fn check_rate(field: &'static str, rate: f64) -> Result<(), ConfigError> {
    if rate > 0.0 && rate <= 1.0 {
        return Ok(());
    }
    let allowed = "above 0 and at most 1";
    Err(ConfigError::OutOfRange { field, allowed })
}
