use std::time::Duration;

/// Why a rate limiter did not let a caller through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// Zero units were asked for.
    #[error("cannot acquire zero units")]
    ZeroUnits,
    /// More was asked for at once than the quota ever allows at once.
    #[error("{requested} units were requested of a burst of {burst}")]
    ExceedsBurst {
        /// What was asked for.
        requested: u32,
        /// What the quota allows at once.
        burst: u32,
    },
    /// The quota is used up for the moment, or others wait and come first.
    #[error("rate limit reached, retry after {retry_after:?}")]
    Denied {
        /// When it would be let through if nobody else came first.
        retry_after: Duration,
    },
    /// The wait would take longer than the caller allows; nothing was taken.
    #[error("the wait of {wait:?} would exceed the timeout of {timeout:?}")]
    WouldExceed {
        /// The wait as foreseen, with everybody who comes first.
        wait: Duration,
        /// What the caller allows.
        timeout: Duration,
    },
    /// As many as allowed wait already.
    #[error("{max_waiters} callers wait already")]
    QueueFull {
        /// The bound, see [`RateLimiterBuilder::max_waiters`](crate::RateLimiterBuilder::max_waiters).
        max_waiters: usize,
    },
    /// As many keys as allowed are tracked already.
    #[error("{max_keys} keys are tracked already")]
    TooManyKeys {
        /// The bound, see
        /// [`KeyedRateLimiterBuilder::max_keys`](crate::KeyedRateLimiterBuilder::max_keys).
        max_keys: usize,
    },
}
