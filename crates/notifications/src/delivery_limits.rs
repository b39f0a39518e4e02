use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{ConfigError, KeyedRateLimiter, Quota, RateError};

use crate::{BuildError, UserId, wall};

/// How many deliveries a user gets an hour.
pub const DELIVERIES_PER_HOUR: u32 = 50;
/// How many of them may be urgent.
pub const URGENT_DELIVERIES_PER_HOUR: u32 = 10;

/// How many users are counted at a time; deliveries of others wait.
const MAX_USERS: usize = 100_000;
/// How long they wait.
const CROWDED: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many deliveries each user gets to the channels that interrupt: beyond that they wait, and
/// none is lost.
///
/// # Guarantees
///
/// - A user gets at most [`DELIVERIES_PER_HOUR`] at once, and then one more each time that an
///   hour's share of one has passed: one in 72 s.
/// - An urgent delivery is counted among them, and goes even when none is left, if it is among
///   the first [`URGENT_DELIVERIES_PER_HOUR`] by the same rule. Later ones are as ordinary ones.
/// - Users are counted apart, at most 100 000 at a time; of a user who is not, deliveries wait
///   for a minute. A user is forgotten when an hour's share is there again.
///
/// It counts in memory, by the monotonic clock: after a restart everybody has the full number
/// again, and processes count apart.
///
/// # Examples
///
/// ```
/// use jiff::Timestamp;
/// use steadfast_notifications::{Admission, DELIVERIES_PER_HOUR, DeliveryLimits, UserId};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limits = DeliveryLimits::new()?;
/// let (ann, now) = (UserId::new(uuid::Uuid::nil()), Timestamp::UNIX_EPOCH);
/// for _ in 0..DELIVERIES_PER_HOUR {
///     assert_eq!(limits.check(ann, false, now), Admission::Permit);
/// }
/// assert!(matches!(limits.check(ann, false, now), Admission::NotBefore(at) if at > now));
/// assert_eq!(limits.check(ann, true, now), Admission::Permit);
/// # Ok(()) }
/// ```
pub struct DeliveryLimits {
    all: KeyedRateLimiter<UserId>,
    urgent: KeyedRateLimiter<UserId>,
}

/// What [`DeliveryLimits::check`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may go now, and is counted.
    Permit,
    /// It is to wait until then, and to be checked again; nothing is counted.
    NotBefore(Timestamp),
}

impl DeliveryLimits {
    /// Limits by the machine's clock.
    ///
    /// # Errors
    ///
    /// If the limiters cannot be set up.
    pub fn new() -> Result<Self, BuildError> {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Limits by another clock.
    ///
    /// # Errors
    ///
    /// If the limiters cannot be set up.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        Self::of_users(MAX_USERS, &clock).map_err(|_| BuildError {
            field: "delivery limits",
            problem: "have bounds that do not work",
        })
    }

    fn of_users(users: usize, clock: &Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let limiter = |per_hour| {
            KeyedRateLimiter::builder(Quota::new(per_hour, HOUR)?)
                .max_keys(users)
                .clock(clock.clone())
                .build()
        };
        Ok(Self {
            all: limiter(DELIVERIES_PER_HOUR)?,
            urgent: limiter(URGENT_DELIVERIES_PER_HOUR)?,
        })
    }

    /// Whether a delivery to a user may go `now`.
    pub fn check(&self, user: UserId, urgent: bool, now: Timestamp) -> Admission {
        if urgent && take(&self.urgent, user).is_ok() {
            // It is one of them, but does not wait for the others.
            let _ = take(&self.all, user);
            return Admission::Permit;
        }
        match take(&self.all, user) {
            Ok(()) => Admission::Permit,
            Err(RateError::Denied { retry_after }) => {
                Admission::NotBefore(wall::after(now, retry_after))
            }
            Err(_) => Admission::NotBefore(wall::after(now, CROWDED)),
        }
    }
}

impl fmt::Debug for DeliveryLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryLimits")
            .field("users", &self.all.len())
            .finish_non_exhaustive()
    }
}

/// Counts one for a user; if there is no room for another one, those are forgotten first who have
/// their full number again.
fn take(limiter: &KeyedRateLimiter<UserId>, user: UserId) -> Result<(), RateError> {
    match limiter.try_acquire(&user, 1) {
        Err(RateError::TooManyKeys { .. }) if limiter.sweep() > 0 => limiter.try_acquire(&user, 1),
        taken => taken,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use steadfast_clock::ManualClock;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn limits(users: usize) -> (DeliveryLimits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let shared: Arc<dyn Clock> = clock.clone();
        let limits = DeliveryLimits::of_users(users, &shared).unwrap();
        (limits, clock)
    }

    fn user(n: u128) -> UserId {
        UserId::new(Uuid::from_u128(n))
    }

    /// How many of a hundred go, and until when the first one of the others waits.
    fn admitted(limits: &DeliveryLimits, user: UserId, urgent: bool) -> (u32, Timestamp) {
        let (mut admitted, mut until) = (0, Timestamp::MAX);
        for _ in 0..100 {
            match limits.check(user, urgent, NOW) {
                Admission::Permit => admitted += 1,
                Admission::NotBefore(at) => until = until.min(at),
            }
        }
        (admitted, until)
    }

    #[test]
    fn fifty_go_and_the_next_waits_for_its_share_of_the_hour() {
        let (limits, clock) = limits(9);
        let wait = Timestamp::from_second(72).unwrap();
        assert_eq!(admitted(&limits, user(1), false), (50, wait));
        assert_eq!(admitted(&limits, user(2), false).0, 50, "users are apart");
        clock.advance(Duration::from_secs(71));
        assert_eq!(admitted(&limits, user(1), false).0, 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(admitted(&limits, user(1), false).0, 1);
        clock.advance(HOUR);
        assert_eq!(admitted(&limits, user(1), false).0, 50);
    }

    #[test]
    fn ten_urgent_ones_go_past_others_and_the_rest_is_ordinary() {
        let (limits, clock) = limits(9);
        assert_eq!(admitted(&limits, user(1), false).0, 50);
        assert_eq!(admitted(&limits, user(1), true).0, 10);
        clock.advance(HOUR);
        assert_eq!(admitted(&limits, user(1), true).0, 50, "they are counted");
        assert_eq!(admitted(&limits, user(1), false).0, 0);
    }

    #[test]
    fn user_beyond_those_that_are_counted_waits_until_one_is_forgotten() {
        let (limits, clock) = limits(1);
        assert_eq!(limits.check(user(1), false, NOW), Admission::Permit);
        let waits = Admission::NotBefore(Timestamp::from_second(60).unwrap());
        assert_eq!(limits.check(user(2), false, NOW), waits);
        clock.advance(HOUR);
        assert_eq!(limits.check(user(2), false, NOW), Admission::Permit);
        assert_eq!(limits.all.len(), 1);
    }

    #[test]
    fn time_to_wait_until_does_not_wrap() {
        let (limits, _clock) = limits(1);
        for _ in 0..DELIVERIES_PER_HOUR {
            limits.check(user(1), false, Timestamp::MAX);
        }
        let waits = Admission::NotBefore(Timestamp::MAX);
        assert_eq!(limits.check(user(1), false, Timestamp::MAX), waits);
    }
}
