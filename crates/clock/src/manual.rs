use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{Clock, Instant, SystemClock};

/// A clock for tests, moved by hand.
///
/// Made by [`new`](Self::new) it stands still until it is moved. Made by
/// [`ticking`](Self::ticking) it also follows tokio's time, so that under `tokio::time::pause` a
/// sleep moves it along; this is the one to use where the code under test both sleeps and reads
/// the time.
#[derive(Debug)]
pub struct ManualClock {
    origin: Instant,
    ticking: bool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Wall time at the origin.
    wall: SystemTime,
    /// How far the clock was moved by hand since the origin.
    moved: Duration,
}

impl ManualClock {
    /// A clock that reads `wall` and stands still until it is moved.
    #[must_use]
    pub fn new(wall: SystemTime) -> Self {
        Self::build(wall, false)
    }

    /// A clock that reads `wall` now and follows tokio's time, paused or not.
    #[must_use]
    pub fn ticking(wall: SystemTime) -> Self {
        Self::build(wall, true)
    }

    fn build(wall: SystemTime, ticking: bool) -> Self {
        let origin = SystemClock.monotonic();
        Self {
            origin,
            ticking,
            state: Mutex::new(State {
                wall,
                moved: Duration::ZERO,
            }),
        }
    }

    /// Moves wall and monotonic time forward together.
    pub fn advance(&self, by: Duration) {
        self.with(|state| state.moved += by);
    }

    /// Sets wall time, as a user or NTP would: monotonic time does not notice.
    ///
    /// # Panics
    ///
    /// If `to` is further from the epoch than [`SystemTime`] can express.
    pub fn set_wall(&self, to: SystemTime) {
        let elapsed = self.elapsed();
        self.with(|state| state.wall = to - elapsed);
    }

    /// Steps wall time by `seconds`, negative for backwards: monotonic time does not notice.
    ///
    /// # Panics
    ///
    /// If the outcome is further from the epoch than [`SystemTime`] can express.
    pub fn shift_wall(&self, seconds: i64) {
        let by = Duration::from_secs(seconds.unsigned_abs());
        self.with(|state| {
            state.wall = if seconds < 0 {
                state.wall - by
            } else {
                state.wall + by
            };
        });
    }

    fn elapsed(&self) -> Duration {
        let ticked = if self.ticking {
            SystemClock
                .monotonic()
                .saturating_duration_since(self.origin)
        } else {
            Duration::ZERO
        };
        ticked + self.with(|state| state.moved)
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> SystemTime {
        let elapsed = self.elapsed();
        self.with(|state| state.wall) + elapsed
    }

    fn monotonic(&self) -> Instant {
        self.origin + self.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn new_clock_stands_still_until_advanced() {
        let clock = ManualClock::new(EPOCH);
        let start = clock.monotonic();
        assert_eq!((clock.wall(), clock.monotonic()), (EPOCH, start));

        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.wall(), EPOCH + Duration::from_secs(5));
        assert_eq!(clock.monotonic(), start + Duration::from_secs(5));
    }

    #[test]
    fn wall_jump_leaves_monotonic_time_alone() {
        let clock = ManualClock::new(EPOCH + Duration::from_secs(10_000));
        let start = clock.monotonic();

        clock.shift_wall(-3_600);
        assert_eq!(clock.wall(), EPOCH + Duration::from_secs(6_400));
        clock.advance(Duration::from_secs(1));
        clock.set_wall(EPOCH);
        assert_eq!(clock.wall(), EPOCH);
        assert_eq!(clock.monotonic(), start + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn ticking_clock_follows_paused_tokio_time() {
        let clock = ManualClock::ticking(EPOCH);
        let start = clock.monotonic();

        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(clock.wall(), EPOCH + Duration::from_secs(30));
        assert_eq!(clock.monotonic(), start + Duration::from_secs(30));
    }
}
