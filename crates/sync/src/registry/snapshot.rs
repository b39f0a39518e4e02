use std::{fmt, panic::Location, time::Duration};

use crate::{
    AsyncLockSnapshot, CircuitBreakerSnapshot, InitCellSnapshot, KeyedRateLimiterSnapshot,
    PacedSnapshot, RateLimiterSnapshot, RetrySnapshot, SemaphoreSnapshot, SingleFlightSnapshot,
};

/// What can be seen of one named primitive.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that its builder was given.
    pub name: String,
    /// What kind of primitive it is, and its state.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub state: PrimitiveState,
}

/// The state of a primitive, by its kind.
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "kind", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum PrimitiveState {
    /// An [`AsyncLock`](crate::AsyncLock).
    AsyncLock(AsyncLockSnapshot),
    /// A [`CircuitBreaker`](crate::CircuitBreaker).
    CircuitBreaker(CircuitBreakerSnapshot),
    /// A [`Retry`](crate::Retry).
    Retry(RetrySnapshot),
    /// A [`KeyedRateLimiter`](crate::KeyedRateLimiter).
    KeyedRateLimiter(KeyedRateLimiterSnapshot),
    /// A [`RateLimiter`](crate::RateLimiter).
    RateLimiter(RateLimiterSnapshot),
    /// A [`Semaphore`](crate::Semaphore).
    Semaphore(SemaphoreSnapshot),
    /// A [`Debounce`](crate::Debounce).
    Debounce(PacedSnapshot),
    /// A [`Throttle`](crate::Throttle).
    Throttle(PacedSnapshot),
    /// A [`KeyedDebounce`](crate::KeyedDebounce).
    KeyedDebounce(PacedSnapshot),
    /// A [`KeyedThrottle`](crate::KeyedThrottle).
    KeyedThrottle(PacedSnapshot),
    /// A [`SingleFlight`](crate::SingleFlight).
    SingleFlight(SingleFlightSnapshot),
    /// An [`InitCell`](crate::InitCell).
    InitCell(InitCellSnapshot),
}

#[cfg(feature = "metrics")]
impl PrimitiveState {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            PrimitiveState::AsyncLock(_) => "async_lock",
            PrimitiveState::CircuitBreaker(_) => "circuit_breaker",
            PrimitiveState::Retry(_) => "retry",
            PrimitiveState::KeyedRateLimiter(_) => "keyed_rate_limiter",
            PrimitiveState::RateLimiter(_) => "rate_limiter",
            PrimitiveState::Semaphore(_) => "semaphore",
            PrimitiveState::Debounce(_) => "debounce",
            PrimitiveState::Throttle(_) => "throttle",
            PrimitiveState::KeyedDebounce(_) => "keyed_debounce",
            PrimitiveState::KeyedThrottle(_) => "keyed_throttle",
            PrimitiveState::SingleFlight(_) => "single_flight",
            PrimitiveState::InitCell(_) => "init_cell",
        }
    }

    pub(crate) fn figures(&self) -> Vec<Figure> {
        match self {
            PrimitiveState::AsyncLock(lock) => lock.figures(),
            PrimitiveState::CircuitBreaker(breaker) => breaker.figures(),
            PrimitiveState::Retry(retry) => retry.figures(),
            PrimitiveState::KeyedRateLimiter(limiter) => limiter.figures(),
            PrimitiveState::RateLimiter(limiter) => limiter.figures(),
            PrimitiveState::Semaphore(semaphore) => semaphore.figures(),
            PrimitiveState::Debounce(paced)
            | PrimitiveState::Throttle(paced)
            | PrimitiveState::KeyedDebounce(paced)
            | PrimitiveState::KeyedThrottle(paced) => paced.figures(),
            PrimitiveState::SingleFlight(group) => group.figures(),
            PrimitiveState::InitCell(cell) => cell.figures(),
        }
    }
}

/// What a watch reports of a primitive to the `metrics` facade, with the metric's name.
#[cfg(feature = "metrics")]
pub(crate) enum Figure {
    Gauge(&'static str, f64),
    Total(&'static str, u64),
}

/// Somebody who waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueuedCaller {
    /// Where it called.
    pub caller: CallSite,
    /// How long it has waited, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::exact")
    )]
    pub waited: Duration,
}

/// A place in the source code: who holds, who waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallSite(&'static Location<'static>);

impl CallSite {
    pub(crate) fn new(location: &'static Location<'static>) -> Self {
        Self(location)
    }

    /// The place as the compiler names it.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.0
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As text: `src/main.rs:12:34`.
#[cfg(feature = "serde")]
impl serde::Serialize for CallSite {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Durations as seconds, for `serialize_with`.
#[cfg(feature = "serde")]
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Serialize, Serializer};

    pub(crate) fn exact<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.as_secs_f64().serialize(serializer)
    }

    pub(crate) fn some<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration
            .map(|duration| duration.as_secs_f64())
            .serialize(serializer)
    }
}
