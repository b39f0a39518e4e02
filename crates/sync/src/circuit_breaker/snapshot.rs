use std::time::Duration;

use steadfast_clock::Instant;

use super::{
    BreakerState,
    state::{Phase, Settings, State},
};

/// What can be seen of a [`CircuitBreaker`](crate::CircuitBreaker) at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CircuitBreakerSnapshot {
    /// The state.
    pub state: BreakerState,
    /// For how long it has been in this state, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::exact")
    )]
    pub state_age: Duration,
    /// How many changes of state there were.
    pub epoch: u64,
    /// In how long to ask again at the earliest, in seconds where it is serialised; `None` while
    /// callers are let through, and while the breaker is isolated.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub retry_after: Option<Duration>,
    /// Failures since the last success. Like the figures of the window it is of the time while the
    /// breaker is closed, and stays as it was until the breaker closes again.
    pub consecutive_failures: u32,
    /// Calls in the window; zero without one.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Those of them that were slow.
    pub slow_calls: u64,
    /// Which part of the calls in the window failed; `None` without calls.
    pub failure_rate: Option<f64>,
    /// Which part of the calls in the window were slow; `None` without calls.
    pub slow_call_rate: Option<f64>,
    /// Permits that are out half-open.
    pub half_open_pending: u32,
    /// Permits that came back with a success half-open.
    pub half_open_succeeded: u32,
    /// How many callers wait until it is ready.
    pub waiting: usize,
    /// How often it opened so far.
    pub opened: u64,
    /// How many callers it did not let through so far.
    pub rejected: u64,
    /// How many verdicts came too late to count so far.
    pub stale_verdicts: u64,
}

impl State {
    pub(super) fn snapshot(&mut self, now: Instant, settings: &Settings) -> CircuitBreakerSnapshot {
        let tally = self.window.as_mut().map(|window| window.tally(now));
        let tally = tally.unwrap_or_default();
        let rate = |part: u64| (tally.calls > 0).then(|| part as f64 / tally.calls as f64);
        let (half_open_pending, half_open_succeeded) = match self.phase {
            Phase::HalfOpen {
                pending, succeeded, ..
            } => (pending, succeeded),
            _ => (0, 0),
        };
        let is_shut = !self.admits(settings);
        CircuitBreakerSnapshot {
            state: self.name(),
            state_age: now.saturating_duration_since(self.since),
            epoch: self.epoch,
            retry_after: is_shut.then(|| self.retry_after(now)).flatten(),
            consecutive_failures: self.consecutive_failures,
            calls: tally.calls,
            failures: tally.failures,
            slow_calls: tally.slow,
            failure_rate: rate(tally.failures),
            slow_call_rate: rate(tally.slow),
            half_open_pending,
            half_open_succeeded,
            waiting: self.waits.until_ready(),
            opened: self.opened,
            rejected: self.rejected,
            stale_verdicts: self.stale_verdicts,
        }
    }
}

#[cfg(feature = "metrics")]
impl CircuitBreakerSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        let state = match self.state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
            BreakerState::Isolated => 3.0,
        };
        let mut figures = vec![
            Gauge("steadfast_sync_breaker_state", state),
            Gauge(
                "steadfast_sync_half_open_pending",
                f64::from(self.half_open_pending),
            ),
            Gauge("steadfast_sync_waiting", self.waiting as f64),
            Total("steadfast_sync_opened_total", self.opened),
            Total("steadfast_sync_rejected_total", self.rejected),
            Total("steadfast_sync_stale_verdicts_total", self.stale_verdicts),
        ];
        let rates = [
            ("steadfast_sync_failure_rate", self.failure_rate),
            ("steadfast_sync_slow_call_rate", self.slow_call_rate),
        ];
        for (metric, rate) in rates {
            figures.push(Gauge(metric, rate.unwrap_or_default()));
        }
        figures
    }
}
