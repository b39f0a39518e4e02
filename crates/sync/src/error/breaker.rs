use std::time::Duration;

/// The breaker admits nobody at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
#[non_exhaustive]
pub struct BreakerOpen {
    /// When to ask again at the earliest; `None` while the breaker is isolated by hand.
    pub retry_after: Option<Duration>,
}

/// Why [`CircuitBreaker::call`](crate::CircuitBreaker::call) returned no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The breaker did not let the call through; it was not begun.
    #[error("the call was not admitted")]
    Open(#[source] BreakerOpen),
    /// The call was made and failed.
    #[error("the call failed")]
    Failed(#[source] E),
}

/// Why [`CircuitBreaker::until_ready`](crate::CircuitBreaker::until_ready) and its variant did not
/// wait until the breaker was ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadyError {
    /// The time given to wait is over.
    #[error("the circuit breaker was not ready after {waited:?}")]
    Timeout {
        /// How long this caller waited.
        waited: Duration,
        /// When to ask again at the earliest; `None` while the breaker is isolated by hand.
        retry_after: Option<Duration>,
    },
    /// As many as allowed wait already.
    #[error("{max_waiters} callers wait already")]
    QueueFull {
        /// The bound, see
        /// [`CircuitBreakerBuilder::max_waiters`](crate::CircuitBreakerBuilder::max_waiters).
        max_waiters: usize,
    },
}

/// A subscriber was so slow that the breaker no longer keeps what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missed} changes of the circuit breaker's state were missed")]
#[non_exhaustive]
pub struct MissedChanges {
    /// How many it missed, exactly.
    pub missed: u64,
}
