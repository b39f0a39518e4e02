use std::time::Duration;

use crate::{BreakerOpen, CallError, RateError};

/// What to do about a failed attempt.
///
/// The refusals of this crate's breaker and limiters turn into one, so that a classifier can hand
/// them on: `Decision::from(&open)` for a [`BreakerOpen`], `Decision::from(&denied)` for a
/// [`RateError`], [`CallError::decision`] for a call through a breaker.
///
/// # Examples
///
/// ```
/// use std::io;
/// use steadfast_sync::{BreakerOpen, Decision};
///
/// enum Failure { NotAdmitted(BreakerOpen), Io(io::Error) }
///
/// fn classify(failure: &Failure) -> Decision {
///     match failure {
///         Failure::NotAdmitted(open) => Decision::from(open),
///         Failure::Io(error) if error.kind() == io::ErrorKind::TimedOut => Decision::Retry,
///         Failure::Io(_) => Decision::Stop,
///     }
/// }
/// # assert_eq!(classify(&Failure::Io(io::ErrorKind::TimedOut.into())), Decision::Retry);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The failure may pass: try again after a random delay.
    Retry,
    /// The failure says when to try again (HTTP's `Retry-After`): wait exactly so long.
    RetryAfter(Duration),
    /// Our own breaker or limiter refused the attempt and will for so long, zero if that is not
    /// known: wait so long and then a random delay, lest all who were refused come back together.
    ///
    /// Nobody was bothered, so the [`RetryBudget`](crate::RetryBudget) is neither charged nor
    /// asked. It counts as an attempt: a breaker that stays open uses up the attempts or the time.
    Rejected(Duration),
    /// The failure is permanent.
    Stop,
}

/// A breaker that is isolated by hand stops the attempts: nobody knows until when, and whoever
/// isolated it wants callers to fail fast.
impl From<&BreakerOpen> for Decision {
    fn from(open: &BreakerOpen) -> Self {
        open.retry_after.map_or(Decision::Stop, Decision::Rejected)
    }
}

/// What the quota never allows stops the attempts; all else may pass.
impl From<&RateError> for Decision {
    fn from(error: &RateError) -> Self {
        match error {
            RateError::ZeroUnits | RateError::ExceedsBurst { .. } => Decision::Stop,
            RateError::Denied { retry_after } => Decision::Rejected(*retry_after),
            // From then on the rest of the wait is one that the caller allows.
            RateError::WouldExceed { wait, timeout } => {
                Decision::Rejected(wait.saturating_sub(*timeout))
            }
            RateError::QueueFull { .. } | RateError::TooManyKeys { .. } => {
                Decision::Rejected(Duration::ZERO)
            }
        }
    }
}

impl<E> CallError<E> {
    /// What to do about a call through a breaker: a refusal is a [`Decision::Rejected`], or a
    /// [`Decision::Stop`] if the breaker is isolated; `classify` decides about the call's own
    /// failure.
    pub fn decision(&self, classify: impl FnOnce(&E) -> Decision) -> Decision {
        match self {
            CallError::Open(open) => Decision::from(open),
            CallError::Failed(error) => classify(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn refusals_of_a_breaker_are_waited_for_unless_it_is_isolated() {
        let open = |retry_after| BreakerOpen { retry_after };
        assert_eq!(
            Decision::from(&open(Some(SECOND))),
            Decision::Rejected(SECOND)
        );
        assert_eq!(Decision::from(&open(None)), Decision::Stop);
        let refused = CallError::<()>::Open(open(Some(SECOND)));
        assert_eq!(
            refused.decision(|()| Decision::Stop),
            Decision::Rejected(SECOND)
        );
        let failed = CallError::Failed(7);
        assert_eq!(
            failed.decision(|seen| {
                assert_eq!(*seen, 7);
                Decision::Retry
            }),
            Decision::Retry
        );
    }

    #[test]
    fn refusals_of_a_limiter_are_waited_for_unless_they_are_for_ever() {
        let decided = |error: RateError| Decision::from(&error);
        assert_eq!(decided(RateError::ZeroUnits), Decision::Stop);
        let (requested, burst) = (9, 8);
        let too_many = RateError::ExceedsBurst { requested, burst };
        assert_eq!(decided(too_many), Decision::Stop);
        let denied = RateError::Denied {
            retry_after: SECOND,
        };
        assert_eq!(decided(denied), Decision::Rejected(SECOND));
        let (wait, timeout) = (3 * SECOND, 2 * SECOND);
        let would_exceed = RateError::WouldExceed { wait, timeout };
        assert_eq!(decided(would_exceed), Decision::Rejected(SECOND));
        let full = RateError::QueueFull { max_waiters: 1 };
        assert_eq!(decided(full), Decision::Rejected(Duration::ZERO));
    }
}
