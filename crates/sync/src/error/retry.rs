use std::time::Duration;

/// Why [`Retry::run`](crate::Retry::run) gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError<E> {
    /// Every attempt that was allowed failed.
    #[error("gave up after {attempts} attempts in {elapsed:?}")]
    Exhausted {
        /// Attempts that were made.
        attempts: u32,
        /// Time since the first attempt began.
        elapsed: Duration,
        /// What the last attempt returned.
        #[source]
        last: E,
    },
    /// The deadline cut an attempt off, or leaves no time for the next one.
    #[error("deadline passed at attempt {attempts} after {elapsed:?}")]
    Deadline {
        /// Attempts that were begun.
        attempts: u32,
        /// Time since the first attempt began.
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
        /// Time since the first attempt began.
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
        /// Time since the first attempt began.
        elapsed: Duration,
        /// What the last attempt returned.
        #[source]
        last: E,
    },
}

impl<E> RetryError<E> {
    /// Attempts that were begun, at least one.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            RetryError::Exhausted { attempts, .. }
            | RetryError::Deadline { attempts, .. }
            | RetryError::NotRetryable { attempts, .. }
            | RetryError::BudgetEmpty { attempts, .. } => *attempts,
        }
    }

    /// The variant's name in lower case, for events.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            RetryError::Exhausted { .. } => "exhausted",
            RetryError::Deadline { .. } => "deadline",
            RetryError::NotRetryable { .. } => "not retryable",
            RetryError::BudgetEmpty { .. } => "budget empty",
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
