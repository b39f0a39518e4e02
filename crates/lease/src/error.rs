use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::ElectorState;

/// An opaque error of a [`LockBackend`](crate::LockBackend).
#[derive(Clone, Debug)]
pub struct BackendError {
    source: Arc<dyn Error + Send + Sync>,
    transient: bool,
}

impl BackendError {
    /// An error that will be the same the next time: a missing table, a refused password.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Arc::from(source.into()),
            transient: false,
        }
    }

    /// An error that may pass: a reset connection, a timeout.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_lease::BackendError;
    ///
    /// assert!(BackendError::transient("connection reset").is_transient());
    /// ```
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Arc::from(source.into()),
            transient: true,
        }
    }

    /// Whether another attempt may succeed without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

/// Why a [`LeaseLock`](crate::LeaseLock) cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A name is empty or too long.
    #[error("`{field}` has {bytes} bytes, not 1 to {}", crate::MAX_NAME_BYTES)]
    NameLength {
        /// The setting.
        field: &'static str,
        /// The length of its value.
        bytes: usize,
    },
    /// A duration is zero.
    #[error("`{field}` is zero")]
    ZeroDuration {
        /// The setting.
        field: &'static str,
    },
    /// The time to live is too long.
    #[error("`ttl` of {ttl:?} is longer than {:?}", crate::MAX_TTL)]
    TtlTooLong {
        /// The time to live.
        ttl: Duration,
    },
    /// The first renewal would come when the work has been cancelled already.
    #[error(
        "`renew_every` of {renew_every:?} and `margin` of {margin:?} do not fit into the \
         {validity:?} for which a `ttl` of {ttl:?} can be relied on"
    )]
    RenewsTooLate {
        /// The time from one renewal to the next.
        renew_every: Duration,
        /// How long before its expiry a lease is given up.
        margin: Duration,
        /// The time to live, less the drift.
        validity: Duration,
        /// The time to live.
        ttl: Duration,
    },
}

/// Why work under a lease was not done, or not under the lease to its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The backend failed when it was asked for the lease; the work was not begun.
    #[error("cannot acquire the lease of `{key}`")]
    Acquire {
        /// What was to be leased.
        key: Arc<str>,
        /// The cause.
        #[source]
        source: BackendError,
    },
    /// The lease did not come in time; the work was not begun.
    #[error("lease of `{key}` was not granted within {after:?}")]
    AcquireTimedOut {
        /// What was to be leased.
        key: Arc<str>,
        /// The limit.
        after: Duration,
        /// The last error of the backend, if it was not simply held by another.
        #[source]
        last: Option<BackendError>,
    },
    /// The lease was lost before the work returned; what the work returned is dropped.
    #[error(transparent)]
    Lost(LeaseLost),
}

/// The lease is no longer to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lease of `{key}` with fence {fence} was lost: {reason}")]
#[non_exhaustive]
pub struct LeaseLost {
    /// What was leased.
    pub key: Arc<str>,
    /// The fence of the lost lease.
    pub fence: u64,
    /// How it was lost.
    pub reason: LossReason,
}

/// How a lease was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LossReason {
    /// It could not be renewed until its expiry was near.
    #[error("it was not renewed in time")]
    Expired,
    /// The backend says that somebody else has it or had it since.
    #[error("the backend no longer knows it")]
    Taken,
    /// The backend refuses to renew it for good.
    #[error("the backend refuses to renew it: {message}")]
    Refused {
        /// What the backend said.
        message: String,
    },
    /// Its holder gives it up on request; it is held until the work has returned.
    #[error("its holder resigns")]
    Resigned,
    /// The work has returned.
    #[error("the work it was for has returned")]
    Finished,
}

/// An [`Elector`](crate::Elector) that was told to step down has not done so in time; it goes on
/// with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("elector of `{key}` is still {state} {after:?} after it was told to step down")]
#[non_exhaustive]
pub struct StillStopping {
    /// What is led.
    pub key: Arc<str>,
    /// What the elector does.
    pub state: ElectorState,
    /// The limit.
    pub after: Duration,
}
