use std::{collections::VecDeque, time::Duration};

use steadfast_clock::Instant;

/// Into how many steps a time window is divided: it moves on by one of them at a time.
const STEPS: u32 = 10;

/// The verdicts that rates are computed from: the last so many, or those of the last while.
#[derive(Debug)]
pub(super) enum Window {
    Count(CountWindow),
    Time(TimeWindow),
}

/// Which window, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowKind {
    Count(u32),
    Time(Duration),
}

/// How one call went. A failure may be slow as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// How many calls there were, and of what kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) slow: u64,
}

impl Window {
    pub(super) fn new(kind: WindowKind, now: Instant) -> Self {
        match kind {
            WindowKind::Count(calls) => Window::Count(CountWindow::new(calls as usize)),
            WindowKind::Time(duration) => Window::Time(TimeWindow::new(duration, now)),
        }
    }

    /// Adds a verdict. `now` is of no meaning to a count window.
    #[inline]
    pub(super) fn record(&mut self, outcome: Outcome, now: Option<Instant>) {
        match self {
            Window::Count(window) => window.record(outcome),
            Window::Time(window) => window.record(outcome, now),
        }
    }

    /// What the window holds at this time.
    pub(super) fn tally(&mut self, now: Instant) -> Tally {
        match self {
            Window::Count(window) => window.tally,
            Window::Time(window) => {
                window.advance(now);
                window.tally
            }
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Window::Count(window) => window.tally = Tally::default(),
            Window::Time(window) => window.clear(),
        }
    }
}

/// The last verdicts, in a ring. What the tally does not count is not looked at.
#[derive(Debug)]
pub(super) struct CountWindow {
    ring: Box<[Outcome]>,
    next: usize,
    tally: Tally,
}

impl CountWindow {
    fn new(calls: usize) -> Self {
        Self {
            ring: vec![Outcome::default(); calls].into_boxed_slice(),
            next: 0,
            tally: Tally::default(),
        }
    }

    #[inline]
    fn record(&mut self, outcome: Outcome) {
        let size = self.ring.len();
        if let Some(slot) = self.ring.get_mut(self.next) {
            if self.tally.calls == size as u64 {
                self.tally.remove(*slot);
            }
            *slot = outcome;
        }
        self.tally.add(outcome);
        self.next += 1;
        if self.next == size {
            self.next = 0;
        }
    }
}

/// The verdicts of the last while, summed up by steps of time. The steps are counted from when the
/// window was made.
#[derive(Debug)]
pub(super) struct TimeWindow {
    step: Duration,
    /// The steps that count, oldest first; the last is the present one.
    steps: VecDeque<Tally>,
    /// When the present step is over.
    step_ends: Instant,
    tally: Tally,
}

impl TimeWindow {
    fn new(duration: Duration, now: Instant) -> Self {
        let step = (duration / STEPS).max(Duration::from_nanos(1));
        Self {
            step,
            steps: VecDeque::from([Tally::default(); STEPS as usize]),
            step_ends: now + step,
            tally: Tally::default(),
        }
    }

    /// Adds a verdict to the present step, also if another thread moved on since `now` was read.
    #[inline]
    fn record(&mut self, outcome: Outcome, now: Option<Instant>) {
        if let Some(now) = now {
            self.advance(now);
        }
        if let Some(present) = self.steps.back_mut() {
            present.add(outcome);
        }
        self.tally.add(outcome);
    }

    #[inline]
    fn advance(&mut self, now: Instant) {
        if now >= self.step_ends {
            self.step_on(now);
        }
    }

    #[cold]
    fn step_on(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.step_ends);
        let steps = 1 + late.as_nanos() / self.step.as_nanos();
        if steps >= u128::from(STEPS) {
            self.clear();
        } else {
            for _ in 0..steps {
                let oldest = self.steps.pop_front().unwrap_or_default();
                self.tally.subtract(oldest);
                self.steps.push_back(Tally::default());
            }
        }
        let into = Duration::from_nanos_u128(late.as_nanos() % self.step.as_nanos());
        self.step_ends = now + (self.step - into);
    }

    fn clear(&mut self) {
        self.tally = Tally::default();
        self.steps
            .iter_mut()
            .for_each(|step| *step = Tally::default());
    }
}

impl Tally {
    #[inline]
    fn add(&mut self, outcome: Outcome) {
        self.calls += 1;
        self.failures += u64::from(outcome.failed);
        self.slow += u64::from(outcome.slow);
    }

    #[inline]
    fn remove(&mut self, outcome: Outcome) {
        self.calls -= 1;
        self.failures -= u64::from(outcome.failed);
        self.slow -= u64::from(outcome.slow);
    }

    fn subtract(&mut self, other: Tally) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steadfast_clock::{Clock, SystemClock};

    use super::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        (any::<bool>(), any::<bool>()).prop_map(|(failed, slow)| Outcome { failed, slow })
    }

    fn sum<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Tally {
        let mut tally = Tally::default();
        outcomes.for_each(|outcome| tally.add(*outcome));
        tally
    }

    proptest! {
        #[test]
        fn count_window_holds_the_last_verdicts(
            size in 1..12_usize,
            verdicts in prop::collection::vec(prop::option::weighted(0.95, outcomes()), 0..80),
        ) {
            let now = SystemClock.monotonic();
            let mut window = Window::new(WindowKind::Count(size as u32), now);
            let mut all = Vec::new();
            for verdict in verdicts {
                match verdict {
                    Some(outcome) => {
                        window.record(outcome, None);
                        all.push(outcome);
                    }
                    None => {
                        window.clear();
                        all.clear();
                    }
                }
                prop_assert_eq!(window.tally(now), sum(all.iter().rev().take(size)));
            }
        }

        /// A verdict counts in the step in which it came and in the nine that follow.
        #[test]
        fn time_window_holds_the_verdicts_of_ten_steps(
            window_nanos in 1..200_u64,
            verdicts in prop::collection::vec((0..60_u64, prop::option::of(outcomes())), 0..60),
        ) {
            let start = SystemClock.monotonic();
            let kind = WindowKind::Time(Duration::from_nanos(window_nanos));
            let mut window = Window::new(kind, start);
            let step = (window_nanos / 10).max(1);
            let (mut at, mut all) = (0, Vec::new());
            for (passed, verdict) in verdicts {
                at += passed;
                let now = start + Duration::from_nanos(at);
                if let Some(outcome) = verdict {
                    window.record(outcome, Some(now));
                    all.push((at / step, outcome));
                }
                let counted = all.iter().filter(|(came, _)| at / step - came < 10);
                prop_assert_eq!(window.tally(now), sum(counted.map(|(_, outcome)| outcome)));
            }
        }
    }

    #[test]
    fn verdict_that_read_the_clock_too_early_counts_in_the_present_step() {
        let start = SystemClock.monotonic();
        let mut window = Window::new(WindowKind::Time(Duration::from_secs(10)), start);
        let late = start + Duration::from_secs(25);
        window.record(Outcome::default(), Some(late));
        window.record(Outcome::default(), Some(start));
        assert_eq!(window.tally(late).calls, 2);
    }
}
