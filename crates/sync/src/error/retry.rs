use std::time::Duration;

/// Why [`Retry::run`](crate::Retry::run) or [`Retry::run_until`](crate::Retry::run_until) gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError<E> {
    /// Every attempt that was allowed failed.
    #[error("gave up after {attempts} attempts in {elapsed:?}")]
    Exhausted {
        /// Attempts that were made.
        attempts: u32,
        /// How much of the time was used, see [`Retry::run`](crate::Retry::run).
        elapsed: Duration,
        /// What the last attempt returned.
        #[source]
        last: E,
    },
    /// The deadline cut an attempt off, or leaves no time for the next one.
    #[error("deadline passed after {elapsed:?}, {attempts} attempts begun")]
    Deadline {
        /// Attempts that were begun; none if the deadline was past before the first.
        attempts: u32,
        /// How much of the time was used, see [`Retry::run`](crate::Retry::run).
        elapsed: Duration,
        /// What the last attempt that came to its end returned, if one did.
        #[source]
        last: Option<E>,
    },
    /// The classifier said that trying again is of no use.
    #[error("permanent failure at attempt {attempts} after {elapsed:?}")]
    NotRetryable {
        /// Attempts that were made.
        attempts: u32,
        /// How much of the time was used, see [`Retry::run`](crate::Retry::run).
        elapsed: Duration,
        /// What the last attempt returned.
        #[source]
        last: E,
    },
    /// The shared budget allows no further retry at present.
    #[error("retry budget empty at attempt {attempts} after {elapsed:?}")]
    BudgetEmpty {
        /// Attempts that were made.
        attempts: u32,
        /// How much of the time was used, see [`Retry::run`](crate::Retry::run).
        elapsed: Duration,
        /// What the last attempt returned.
        #[source]
        last: E,
    },
}

impl<E> RetryError<E> {
    /// Attempts that were begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            RetryError::Exhausted { attempts, .. }
            | RetryError::Deadline { attempts, .. }
            | RetryError::NotRetryable { attempts, .. }
            | RetryError::BudgetEmpty { attempts, .. } => *attempts,
        }
    }

    /// How much of the time was used, see [`Retry::run`](crate::Retry::run).
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match self {
            RetryError::Exhausted { elapsed, .. }
            | RetryError::Deadline { elapsed, .. }
            | RetryError::NotRetryable { elapsed, .. }
            | RetryError::BudgetEmpty { elapsed, .. } => *elapsed,
        }
    }

    /// What the last finished attempt returned.
    pub fn into_last(self) -> Option<E> {
        match self {
            RetryError::Exhausted { last, .. }
            | RetryError::NotRetryable { last, .. }
            | RetryError::BudgetEmpty { last, .. } => Some(last),
            RetryError::Deadline { last, .. } => last,
        }
    }
}
