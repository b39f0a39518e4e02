use std::{panic::Location, task::Waker, time::Duration};

use super::{Quota, bucket::Account, gcra};
use crate::{
    RateError,
    overdue::{Overdue, Thresholds, What},
    wait_queue::{Queue, Waiters, WakeList},
};

pub(super) type Caller = &'static Location<'static>;

/// Those who wait at one bucket. Only the first of them looks at the time and takes units.
#[derive(Debug)]
pub(super) struct Line {
    queue: Queue,
    /// What they wait for in all.
    units: u64,
    /// Since when the first of them has been the first.
    first_since: u64,
}

#[derive(Debug)]
pub(super) struct Waiter {
    units: u32,
    since: u64,
    /// Where it called.
    caller: Caller,
    /// The burst, once it was lowered below the units: the waiter is in no line any more.
    exceeds: Option<u32>,
    /// Whether it was reported that it waits for long.
    is_long_reported: bool,
    /// Whether it was reported that it comes first and is not polled.
    is_unclaimed_reported: bool,
    /// Whose line it is in, by the index of the key.
    pub(super) entry: usize,
}

/// A caller that is about to wait.
pub(super) struct Request {
    pub(super) units: u32,
    pub(super) since: u64,
    pub(super) caller: Caller,
    pub(super) limit: Option<Duration>,
    /// Moves into the line.
    pub(super) waker: Option<Waker>,
}

/// A line and its bucket, while their mutex is held.
pub(super) struct Desk<'a> {
    pub(super) line: &'a mut Line,
    pub(super) waiters: &'a mut Waiters<Waiter>,
    pub(super) bucket: Account<'a>,
}

/// How far a caller that waits has come.
pub(super) enum Progress {
    /// It has its units and is in line no more.
    Through {
        units: u32,
        waited: Duration,
        /// If it waited for long and nobody has reported it.
        overdue: Option<Overdue>,
    },
    Refused(RateError),
    /// It is the first, and its units will be there after this time.
    Short(Duration),
    /// Others come first.
    Behind,
}

/// What a look at the first in line found.
#[derive(Default)]
pub(super) struct Look {
    pub(super) found: Option<Overdue>,
    pub(super) wakes: WakeList,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self {
            queue: Queue::new(),
            units: 0,
            first_since: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn is_first(&self, waiter: usize) -> bool {
        self.queue.front() == Some(waiter)
    }

    /// Wakes the first waiter, to look at the time again.
    pub(super) fn wake_first(&self, waiters: &mut Waiters<Waiter>) -> Option<Waker> {
        waiters.take_waker(self.queue.front()?)
    }

    /// Refuses those who want more than a burst, and wakes them and the first of the others.
    pub(super) fn refuse_above(
        &mut self,
        waiters: &mut Waiters<Waiter>,
        burst: u32,
        now: u64,
        wakes: &mut WakeList,
    ) {
        let first = self.queue.front();
        let mut next = self.queue.front();
        while let Some(waiter) = next {
            next = waiters.next(waiter);
            let Some(wait) = waiters.get_mut(waiter).filter(|wait| wait.units > burst) else {
                continue;
            };
            wait.exceeds = Some(burst);
            self.units -= u64::from(wait.units);
            waiters.unlink(&mut self.queue, waiter);
            wakes.push(waiters.take_waker(waiter));
        }
        if self.queue.front() != first {
            self.first_since = now;
        }
        wakes.push(self.wake_first(waiters));
    }

    /// Since when the first waiter has waited.
    pub(super) fn oldest(&self, waiters: &Waiters<Waiter>) -> Option<u64> {
        waiters.get(self.queue.front()?).map(|wait| wait.since)
    }

    /// The first waiter's wait, if it is long and was not reported yet.
    pub(super) fn long_wait(
        &self,
        waiters: &mut Waiters<Waiter>,
        now: u64,
        thresholds: &Thresholds,
    ) -> Option<Overdue> {
        let wait = waiters.get_mut(self.queue.front()?)?;
        let overdue = wait.long_wait(now, thresholds.long_wait, self.len())?;
        wait.is_long_reported = true;
        Some(overdue)
    }

    /// Takes a waiter out; returns the next one's waker, if it comes first now.
    fn leave(&mut self, waiters: &mut Waiters<Waiter>, waiter: usize, now: u64) -> Option<Waker> {
        let wait = waiters.get(waiter).filter(|wait| wait.exceeds.is_none())?;
        let was_first = self.is_first(waiter);
        self.units -= u64::from(wait.units);
        waiters.unlink(&mut self.queue, waiter);
        if !was_first {
            return None;
        }
        self.first_since = now;
        self.wake_first(waiters)
    }
}

impl Desk<'_> {
    /// Takes units for a caller that does not wait.
    pub(super) fn take(&mut self, now: u64, units: u32) -> Result<(), RateError> {
        check_units(&self.bucket.quota(), units)?;
        if self.line.is_empty() && self.bucket.spend(now, units).is_ok() {
            return Ok(());
        }
        let retry_after = self.foresee(now, units);
        Err(RateError::Denied { retry_after })
    }

    /// What [`take`](Self::take) would say.
    pub(super) fn peek(&self, now: u64, units: u32) -> Result<(), RateError> {
        check_units(&self.bucket.quota(), units)?;
        let retry_after = self.foresee(now, units);
        if self.line.is_empty() && retry_after.is_zero() {
            return Ok(());
        }
        Err(RateError::Denied { retry_after })
    }

    /// Appends a caller to the line, unless it would wait for longer than it is ready to; `entry`
    /// is the index of the key.
    pub(super) fn enqueue(
        &mut self,
        request: &mut Request,
        entry: usize,
        max_waiters: usize,
    ) -> Result<usize, RateError> {
        let &mut Request { units, since, .. } = request;
        check_units(&self.bucket.quota(), units)?;
        if let Some(timeout) = request.limit {
            let wait = self.foresee(since, units);
            if wait > timeout {
                return Err(RateError::WouldExceed { wait, timeout });
            }
        }
        if self.line.len() >= max_waiters {
            return Err(RateError::QueueFull { max_waiters });
        }
        let Some(waker) = request.waker.take() else {
            return Err(RateError::QueueFull { max_waiters });
        };
        let waiter = Waiter {
            units,
            since,
            caller: request.caller,
            exceeds: None,
            is_long_reported: false,
            is_unclaimed_reported: false,
            entry,
        };
        if self.line.is_empty() {
            self.line.first_since = since;
        }
        self.line.units += u64::from(units);
        Ok(self.waiters.push_back(&mut self.line.queue, waker, waiter))
    }

    /// Lets a waiter take its units if it is its turn. `waker` is stored if it has to wait; what
    /// it is in the end is the caller's to drop, and the list the caller's to wake.
    pub(super) fn turn(
        &mut self,
        waiter: usize,
        now: u64,
        long_wait: Duration,
        waker: &mut Option<Waker>,
        wakes: &mut WakeList,
    ) -> Progress {
        let Some(wait) = self.waiters.get(waiter) else {
            return Progress::Behind;
        };
        let requested = wait.units;
        if let Some(burst) = wait.exceeds {
            return Progress::Refused(RateError::ExceedsBurst { requested, burst });
        }
        let progress = if !self.line.is_first(waiter) {
            Progress::Behind
        } else if let Err(wait) = self.bucket.spend(now, requested) {
            Progress::Short(wait)
        } else {
            let through = Progress::Through {
                units: requested,
                waited: wait.waited(now),
                overdue: wait.long_wait(now, long_wait, self.line.len() - 1),
            };
            wakes.push(self.line.leave(self.waiters, waiter, now));
            *waker = self.waiters.discard(waiter);
            return through;
        };
        if let Some(new) = waker.take() {
            *waker = self.waiters.set_waker(waiter, new);
        }
        progress
    }

    /// Takes a waiter out that gives up; returns whom to wake and what to drop.
    pub(super) fn give_up(&mut self, waiter: usize, now: u64) -> (Option<Waker>, Option<Waker>) {
        let next = self.line.leave(self.waiters, waiter, now);
        let removed = self.waiters.remove(waiter);
        (next, removed.and_then(|(_, waker)| waker))
    }

    /// Looks whether the first in line does not come for units that are there; it goes to the end
    /// of the line then, if the limiter does that. Says after how long to look again.
    pub(super) fn look_ahead(&mut self, now: u64, thresholds: &Thresholds) -> (Look, Duration) {
        let mut look = Look::default();
        let next_look = thresholds.next_look(Duration::ZERO);
        let Some(first) = self.line.queue.front() else {
            return (look, next_look);
        };
        let granted = self.first_granted(first);
        if granted > now {
            return (
                look,
                next_look.saturating_add(Duration::from_nanos(granted - now)),
            );
        }
        let unclaimed = Duration::from_nanos(now - granted);
        let waiting = self.line.len() - 1;
        let Some(wait) = self.waiters.get_mut(first) else {
            return (look, next_look);
        };
        if !thresholds.is_unclaimed(unclaimed) {
            return (look, thresholds.next_look(unclaimed));
        }
        let revoked = thresholds.revoke && waiting > 0;
        if revoked || !wait.is_unclaimed_reported {
            look.found = Some(wait.overdue(What::Unclaimed { revoked }, unclaimed, waiting));
        }
        wait.is_unclaimed_reported = !revoked;
        if revoked {
            self.waiters.unlink(&mut self.line.queue, first);
            self.waiters.link_back(&mut self.line.queue, first);
            self.line.first_since = now;
            look.wakes.push(self.line.wake_first(self.waiters));
        }
        (look, next_look)
    }

    /// Since when, or from when on, the first could have had its units.
    fn first_granted(&self, first: usize) -> u64 {
        let units = self.waiters.get(first).map_or(0, |wait| wait.units);
        let quota = self.bucket.quota();
        let spent = self
            .bucket
            .arrival()
            .saturating_add(quota.cost(units.into()));
        let earned = spent.saturating_sub(quota.tolerance());
        earned.max(self.line.first_since)
    }

    /// How long it takes until units are there for a caller that comes now.
    pub(super) fn foresee(&self, now: u64, units: u32) -> Duration {
        let units = self.line.units.saturating_add(units.into());
        gcra::foresee(&self.bucket.quota(), self.bucket.ahead(now), units)
    }
}

impl Waiter {
    /// Since when it waits, if it still does.
    pub(super) fn waits_since(&self) -> Option<u64> {
        self.exceeds.is_none().then_some(self.since)
    }

    fn waited(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.since))
    }

    fn long_wait(&self, now: u64, than: Duration, waiting: usize) -> Option<Overdue> {
        let waited = self.waited(now);
        let is_news = waited >= than && !self.is_long_reported;
        is_news.then(|| self.overdue(What::Wait, waited, waiting))
    }

    fn overdue(&self, what: What, duration: Duration, waiting: usize) -> Overdue {
        Overdue {
            what,
            caller: self.caller,
            duration,
            waiting,
        }
    }
}

/// Refuses what could never be let through.
pub(super) fn check_units(quota: &Quota, units: u32) -> Result<(), RateError> {
    let burst = quota.burst();
    match units {
        0 => Err(RateError::ZeroUnits),
        requested if requested > burst => Err(RateError::ExceedsBurst { requested, burst }),
        _ => Ok(()),
    }
}
