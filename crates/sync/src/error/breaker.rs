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
