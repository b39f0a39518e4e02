/// The instance was closed and takes no further calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("closed for further calls")]
pub struct Closed;

/// Why a [`KeyedDebounce`](crate::KeyedDebounce) or a [`KeyedThrottle`](crate::KeyedThrottle) did
/// not take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaceError {
    /// The key is new and as many as allowed have a window, a pending call or a run.
    #[error("{max_keys} keys are in use already")]
    TooManyKeys {
        /// The bound, see [`PacedBuilder::max_keys`](crate::PacedBuilder::max_keys).
        max_keys: usize,
    },
    /// The instance was closed and takes no further calls.
    #[error("closed for further calls")]
    Closed,
}

/// Why [`drive`](crate::Paced::drive) did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// There is another driver, and runs must not overlap.
    #[error("it is driven already")]
    AlreadyDriven,
}

/// Why [`close`](crate::Paced::close) did not drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Something is pending and nobody drives.
    #[error("a call is pending and nobody drives it")]
    NotDriven,
}
