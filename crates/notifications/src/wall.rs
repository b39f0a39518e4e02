//! Wall time as it is stored: in whole microseconds.

use std::time::Duration;

use jiff::Timestamp;
use steadfast_clock::Clock;

/// The time of day, cut to what every store can hold.
pub(crate) fn now(clock: &dyn Clock) -> Timestamp {
    let now = Timestamp::try_from(clock.wall()).unwrap_or(Timestamp::MAX);
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// A later time, or the end of time if there is none.
pub(crate) fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use steadfast_clock::ManualClock;

    use super::*;

    #[test]
    fn now_has_whole_microseconds() {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_999));
        assert_eq!(now(&clock).as_nanosecond(), 1_000);
    }

    #[test]
    fn time_does_not_wrap() {
        assert_eq!(
            after(Timestamp::MAX, Duration::from_secs(1)),
            Timestamp::MAX
        );
    }
}
