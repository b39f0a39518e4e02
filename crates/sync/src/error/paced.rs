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
