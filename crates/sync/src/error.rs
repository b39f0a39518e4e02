use std::{sync::Arc, time::Duration};

/// A value given to a builder or constructor that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The field must be at least one.
    #[error("`{field}` must not be zero")]
    Zero {
        /// The builder's method, or the constructor's argument.
        field: &'static str,
    },
    /// The field is larger than the primitive can count.
    #[error("`{field}` must be at most {max}")]
    TooLarge {
        /// The builder's method, or the constructor's argument.
        field: &'static str,
        /// The largest value that works, with its unit.
        max: String,
    },
    /// The field is smaller than another one allows.
    #[error("`{field}` must be at least `{other}`")]
    LessThan {
        /// The builder's method, or the constructor's argument.
        field: &'static str,
        /// The field that it is compared with.
        other: &'static str,
    },
}

impl ConfigError {
    /// The builder's method, or the constructor's argument, that was refused.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            ConfigError::Zero { field }
            | ConfigError::TooLarge { field, .. }
            | ConfigError::LessThan { field, .. } => field,
        }
    }
}

/// Why [`AsyncLock::lock`](crate::AsyncLock::lock) and its variants did not lock.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The time given to wait is over.
    #[error(
        "timed out after {waited:?}, with {queue_len} others waiting and the key held for {held_for:?}"
    )]
    Timeout {
        /// How long this caller waited.
        waited: Duration,
        /// How many others wait for the same key.
        queue_len: usize,
        /// How long the present holder has had the key, or has had it while others waited.
        held_for: Duration,
    },
    /// As many as allowed wait for this key already.
    #[error("{max_waiters} callers wait for this key already")]
    QueueFull {
        /// The bound, see [`AsyncLockBuilder::max_waiters`](crate::AsyncLockBuilder::max_waiters).
        max_waiters: usize,
    },
    /// The lock was closed.
    #[error("the lock is closed")]
    Closed,
}

/// Why [`AsyncLock::try_lock`](crate::AsyncLock::try_lock) did not lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryLockError {
    /// Somebody holds the key or is about to.
    #[error("the key is locked")]
    Locked,
    /// The lock was closed.
    #[error("the lock is closed")]
    Closed,
}

/// Why [`Semaphore::acquire`](crate::Semaphore::acquire) and its variants gave no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Zero permits were asked for.
    #[error("cannot acquire zero permits")]
    ZeroPermits,
    /// More was asked for than there will ever be.
    #[error("{requested} permits were requested of a capacity of {capacity}")]
    ExceedsCapacity {
        /// What was asked for.
        requested: usize,
        /// What there is in all.
        capacity: usize,
    },
    /// The time given to wait is over.
    #[error("timed out after {waited:?}, with {queue_len} others waiting")]
    Timeout {
        /// How long this caller waited.
        waited: Duration,
        /// How many others wait.
        queue_len: usize,
    },
    /// As many as allowed wait already.
    #[error("{max_waiters} callers wait already")]
    QueueFull {
        /// The bound, see [`SemaphoreBuilder::max_waiters`](crate::SemaphoreBuilder::max_waiters).
        max_waiters: usize,
    },
    /// The semaphore was closed.
    #[error("the semaphore is closed")]
    Closed,
}

/// Why [`Semaphore::try_acquire`](crate::Semaphore::try_acquire) gave no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Zero permits were asked for.
    #[error("cannot acquire zero permits")]
    ZeroPermits,
    /// More was asked for than there will ever be.
    #[error("{requested} permits were requested of a capacity of {capacity}")]
    ExceedsCapacity {
        /// What was asked for.
        requested: usize,
        /// What there is in all.
        capacity: usize,
    },
    /// Too few permits are free, or others wait for them.
    #[error("{available} permits are free and {waiting} callers wait")]
    NoPermits {
        /// Permits that are free.
        available: usize,
        /// Callers that wait and come first.
        waiting: usize,
    },
    /// The semaphore was closed.
    #[error("the semaphore is closed")]
    Closed,
}

/// Why [`InitCell::get_or_init`](crate::InitCell::get_or_init) gave no value.
///
/// Every caller that joined an attempt gets a clone of the same error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError<E> {
    /// The attempt failed; the next call starts a new one.
    #[error("initialisation failed")]
    Failed(#[source] Arc<E>),
    /// The attempt panicked; the next call starts a new one.
    #[error("initialisation panicked: {message}")]
    Panicked {
        /// The panic's message, if it was text.
        message: Arc<str>,
    },
    /// [`InitCell::reset`](crate::InitCell::reset) was called during the attempt.
    #[error("the cell was reset during initialisation")]
    Reset,
    /// An attempt is in flight and the caller asked not to join it.
    #[error("initialisation is already in progress")]
    AlreadyInProgress,
    /// The attempt waits for its own outcome, which would never come.
    #[error("initialisation waits for itself")]
    Recursive,
}

impl<E> Clone for InitError<E> {
    fn clone(&self) -> Self {
        match self {
            InitError::Failed(error) => InitError::Failed(Arc::clone(error)),
            InitError::Panicked { message } => InitError::Panicked {
                message: Arc::clone(message),
            },
            InitError::Reset => InitError::Reset,
            InitError::AlreadyInProgress => InitError::AlreadyInProgress,
            InitError::Recursive => InitError::Recursive,
        }
    }
}

/// Why [`SingleFlight::run`](crate::SingleFlight::run) returned no value.
///
/// Every caller that joined a flight gets a clone of the same error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlightError<E> {
    /// The work failed; the next call starts it anew.
    #[error("the shared work failed")]
    Failed(#[source] Arc<E>),
    /// The work panicked; the next call starts it anew.
    #[error("the shared work panicked: {message}")]
    Panicked {
        /// The panic's message, if it was text.
        message: Arc<str>,
    },
    /// The work waits for its own outcome, which would never come.
    #[error("the shared work waits for itself")]
    Recursive,
}

impl<E> Clone for FlightError<E> {
    fn clone(&self) -> Self {
        match self {
            FlightError::Failed(error) => FlightError::Failed(Arc::clone(error)),
            FlightError::Panicked { message } => FlightError::Panicked {
                message: Arc::clone(message),
            },
            FlightError::Recursive => FlightError::Recursive,
        }
    }
}

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

/// The instance was closed and takes no further calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("closed for further calls")]
pub struct Closed;

/// Why [`Debounce::drive`](crate::Debounce::drive) or [`Throttle::drive`](crate::Throttle::drive)
/// did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// There is another driver, and runs must not overlap.
    #[error("it is driven already")]
    AlreadyDriven,
}

/// Why [`Debounce::close`](crate::Debounce::close) or [`Throttle::close`](crate::Throttle::close)
/// did not drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Something is pending and nobody drives.
    #[error("a call is pending and nobody drives it")]
    NotDriven,
}
