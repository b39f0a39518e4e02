//! Wall time as it is stored: in whole microseconds.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use steadfast_clock::{Clock, Instant};

/// Wall time that follows the clock forwards and never goes back: while the clock is behind, it
/// goes on with the monotonic time.
#[derive(Debug, Default)]
pub(crate) struct Forward(Mutex<Option<(Timestamp, Instant)>>);

impl Forward {
    /// The time of day, or more if it was more before.
    pub(crate) fn now(&self, clock: &dyn Clock) -> Timestamp {
        let (wall, monotonic) = (now(clock), clock.monotonic());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = last.map(|(at, since)| whole(after(at, monotonic - since)));
        let now = expected.map_or(wall, |expected| expected.max(wall));
        *last = Some((now, monotonic));
        now
    }
}

/// The time of day, cut to what every store can hold.
pub(crate) fn now(clock: &dyn Clock) -> Timestamp {
    whole(Timestamp::try_from(clock.wall()).unwrap_or(Timestamp::MAX))
}

/// A later time, or the end of time if there is none.
pub(crate) fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The last whole microsecond.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
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

    #[tokio::test(start_paused = true)]
    async fn forward_time_goes_on_while_the_clock_is_behind() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(7_200);
        let clock = ManualClock::ticking(start);
        let time = Forward::default();
        let first = time.now(&clock);
        clock.set_wall(SystemTime::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(time.now(&clock), after(first, Duration::from_secs(5)));
        clock.set_wall(start + Duration::from_secs(3_600));
        assert_eq!(time.now(&clock), after(first, Duration::from_secs(3_600)));
    }

    #[test]
    fn time_does_not_wrap() {
        assert_eq!(
            after(Timestamp::MAX, Duration::from_secs(1)),
            Timestamp::MAX
        );
    }
}
