use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use steadfast_clock::Instant;

use crate::{StoreError, shared::Shared, shared::in_time};

/// How long a reading of the store's time is good for, and how long if it took longer than
/// [`QUICK`].
const GOOD_FOR: Duration = Duration::from_secs(10);
const ROUGH_FOR: Duration = Duration::from_secs(1);
const QUICK: Duration = Duration::from_millis(50);

/// By how much wall and monotonic time may differ before a reading is taken anew: the machine was
/// suspended, and its monotonic clock with it.
const MOST_DRIFT: SignedDuration = SignedDuration::from_secs(2);

/// What time it is for a store that has its own, without asking it each time: its last reading
/// and what has passed since by the monotonic clock. The wall clock of the machine plays no part.
#[derive(Debug, Default)]
pub(crate) struct StoreTime(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
enum Known {
    #[default]
    Nothing,
    /// The store goes by the clocks of its callers.
    Callers,
    Reading(Reading),
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    store: Timestamp,
    at: Instant,
    wall: Timestamp,
    good_until: Instant,
}

impl StoreTime {
    /// Whether the store has a time of its own, as far as is known.
    pub(crate) fn is_own(&self) -> bool {
        matches!(*self.known(), Known::Reading(_))
    }

    /// The store's time at an instant, if it has its own.
    pub(crate) fn at(&self, at: Instant) -> Option<Timestamp> {
        match *self.known() {
            Known::Reading(reading) => Some(reading.extrapolate(at)),
            Known::Nothing | Known::Callers => None,
        }
    }

    fn is_good(&self, at: Instant, wall: Timestamp) -> bool {
        match *self.known() {
            Known::Nothing => false,
            Known::Callers => true,
            Known::Reading(reading) => reading.is_good(at, wall),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn extrapolate(&self, at: Instant) -> Timestamp {
        let passed = SignedDuration::try_from(at.saturating_duration_since(self.at));
        let now = passed.map(|passed| self.store.checked_add(passed));
        now.ok().and_then(Result::ok).unwrap_or(Timestamp::MAX)
    }

    fn is_good(&self, at: Instant, wall: Timestamp) -> bool {
        let by_wall = wall.duration_since(self.wall);
        let passed = at.saturating_duration_since(self.at);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        at < self.good_until && by_wall.saturating_sub(passed).abs() < MOST_DRIFT
    }

    /// A new reading, asked for at `sent` and come back at `at`.
    ///
    /// The store's time was `store` at some moment between. The earliest that fits is taken, so
    /// that nothing happens early, unless the reading before fits better.
    fn take(store: Timestamp, sent: Instant, at: Instant, wall: Timestamp, old: Known) -> Self {
        let took = at.saturating_duration_since(sent);
        let latest = SignedDuration::try_from(took)
            .ok()
            .and_then(|took| store.checked_add(took).ok())
            .unwrap_or(Timestamp::MAX);
        let good_for = if took <= QUICK { GOOD_FOR } else { ROUGH_FOR };
        Self {
            store: match old {
                Known::Reading(old) => old.extrapolate(at).clamp(store, latest),
                Known::Nothing | Known::Callers => store,
            },
            at,
            wall,
            good_until: at + good_for,
        }
    }
}

impl Shared {
    /// The time that counts for the store: its own as it was read last, or the clock's.
    pub(crate) fn now(&self) -> Timestamp {
        let own = self.store_time.at(self.clock.monotonic());
        own.unwrap_or_else(|| self.wall())
    }

    /// Reads the store's time if the last reading is not good any more.
    ///
    /// # Errors
    ///
    /// If the store fails; [`now`](Self::now) goes by the last reading then.
    pub(crate) async fn read_store_time(&self) -> Result<(), StoreError> {
        let sent = self.clock.monotonic();
        if self.store_time.is_good(sent, self.wall()) {
            return Ok(());
        }
        let store = in_time(self.store.time()).await?;
        let at = self.clock.monotonic();
        let mut known = self.store_time.known();
        *known = match store {
            Some(store) => Known::Reading(Reading::take(store, sent, at, self.wall(), *known)),
            None => Known::Callers,
        };
        Ok(())
    }

    fn wall(&self) -> Timestamp {
        Timestamp::try_from(self.clock.wall()).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use steadfast_clock::{Clock, SystemClock};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    fn store(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + millisecond).unwrap()
    }

    #[test]
    fn readings_are_early_rather_than_late_and_kept_while_they_fit() {
        let start = SystemClock.monotonic();
        let first = Reading::take(store(0), start, start + 4 * MS, WALL, Known::Nothing);
        assert_eq!(first.extrapolate(start + 4 * MS), store(0));
        assert_eq!(first.extrapolate(start + 104 * MS), store(100));

        // A slow answer says little: between 1000 and 1600, while the first says 1596.
        let (sent, at) = (start + 1_000 * MS, start + 1_600 * MS);
        let second = Reading::take(store(1_000), sent, at, WALL, Known::Reading(first));
        assert_eq!(second.extrapolate(at), store(1_596));
        assert!(second.is_good(at + ROUGH_FOR - MS, WALL + ROUGH_FOR));
        assert!(!second.is_good(at + ROUGH_FOR, WALL + ROUGH_FOR));

        // The store's clock was set forward, and back.
        let (sent, at) = (start + 2_000 * MS, start + 2_001 * MS);
        let third = Reading::take(store(60_000), sent, at, WALL, Known::Reading(second));
        assert_eq!(third.extrapolate(at), store(60_000));
        let (sent, at) = (start + 3_000 * MS, start + 3_001 * MS);
        let fourth = Reading::take(store(3_000), sent, at, WALL, Known::Reading(third));
        assert_eq!(fourth.extrapolate(at), store(3_001));
    }

    #[test]
    fn reading_is_no_good_after_a_suspend() {
        let start = SystemClock.monotonic();
        let reading = Reading::take(store(0), start, start, WALL, Known::Nothing);
        assert!(reading.is_good(start + MS, WALL + MS));
        assert!(!reading.is_good(start + MS, WALL + Duration::from_secs(60)));
        assert!(!reading.is_good(start + GOOD_FOR, WALL + GOOD_FOR));
    }
}
