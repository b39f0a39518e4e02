//! What takes too long: from when on it does, and how it is told.

use std::{fmt::Display, panic::Location, time::Duration};

use steadfast_clock::Instant;
use tracing::warn;

use crate::{
    ConfigError,
    config::{DEFAULT_GRACE, DEFAULT_LONG_HOLD, DEFAULT_LONG_WAIT, check_duration},
    meters::Meters,
};

/// From how long on a primitive's holds, waits and unclaimed grants are reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    pub(crate) long_hold: Duration,
    pub(crate) long_wait: Duration,
    /// Waiters look at the grant ahead of them once in this time, if it is given.
    pub(crate) grace: Option<Duration>,
    /// Whether a grant that was not claimed in time goes to the next.
    pub(crate) revoke: bool,
}

impl Thresholds {
    pub(crate) const fn new() -> Self {
        Self {
            long_hold: DEFAULT_LONG_HOLD,
            long_wait: DEFAULT_LONG_WAIT,
            grace: None,
            revoke: false,
        }
    }

    /// Refuses what cannot work, with the name of the builder's method.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        check_duration("long_hold", self.long_hold)?;
        check_duration("long_wait", self.long_wait)?;
        match self.grace {
            Some(grace) => check_duration("grace", grace),
            None if self.revoke => Err(ConfigError::Needs {
                field: "revoke_unclaimed",
                other: "grace",
            }),
            None => Ok(()),
        }
    }

    /// How long a grant has been unclaimed, if that is too long.
    pub(crate) fn unclaimed(&self, granted: Instant, now: Instant) -> Option<Duration> {
        let unclaimed = now.saturating_duration_since(granted);
        self.is_unclaimed(unclaimed).then_some(unclaimed)
    }

    /// Whether a grant has been unclaimed for too long.
    pub(crate) fn is_unclaimed(&self, duration: Duration) -> bool {
        duration >= self.grace.unwrap_or(DEFAULT_GRACE)
    }

    /// When a waiter looks again at what is ahead of it, which has been unclaimed for that long.
    pub(crate) fn next_look(&self, unclaimed: Duration) -> Duration {
        let grace = self.grace.unwrap_or(DEFAULT_GRACE);
        match grace.saturating_sub(unclaimed) {
            Duration::ZERO => grace,
            rest => rest,
        }
    }
}

/// Whether the time of a hold is measured from its beginning on, because it was waited for.
///
/// As large as a word: guards are moved a lot, and a flag with padding behind it is copied in
/// pieces that overlap, for which the processor has to wait.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum Timing {
    Unmeasured,
    Measured,
}

impl Timing {
    pub(crate) fn is_measured(self) -> bool {
        matches!(self, Timing::Measured)
    }
}

/// Something that takes too long, seen under a lock and told once that is released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overdue {
    pub(crate) what: What,
    /// Where the holder or waiter called.
    pub(crate) caller: &'static Location<'static>,
    pub(crate) duration: Duration,
    /// How many callers wait.
    pub(crate) waiting: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Hold,
    Wait,
    Unclaimed { revoked: bool },
}

impl Overdue {
    /// Tells of it, with the key if it may be shown. Never under an internal lock.
    pub(crate) fn report(&self, name: &str, key: Option<&dyn Display>, meters: &Meters) {
        let Self {
            caller,
            duration,
            waiting,
            ..
        } = self;
        let key = key.map(tracing::field::display);
        match self.what {
            What::Hold => {
                warn!(name, key, %caller, held_for = ?duration, waiting, "held for long");
                meters.count("long_hold");
            }
            What::Wait => {
                warn!(name, key, %caller, waited = ?duration, waiting, "waited for long");
                meters.count("long_wait");
            }
            What::Unclaimed { revoked } => {
                warn!(
                    name, key, %caller, unclaimed_for = ?duration, waiting, revoked,
                    "granted to a waiter that is not polled"
                );
                meters.count("unclaimed_grant");
            }
        }
    }
}
