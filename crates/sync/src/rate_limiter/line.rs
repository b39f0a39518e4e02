use std::{task::Waker, time::Duration};

use super::{Quota, bucket::Bucket, gcra};
use crate::{
    RateError,
    wait_queue::{Queue, Waiters, WakeList},
};

/// Those who wait at one bucket. Only the first of them looks at the time and takes units.
#[derive(Debug)]
pub(super) struct Line {
    queue: Queue,
    /// What they wait for in all.
    units: u64,
}

#[derive(Debug)]
pub(super) struct Waiter {
    units: u32,
    since: u64,
    /// The burst, once it was lowered below the units: the waiter is in no line any more.
    exceeds: Option<u32>,
    /// Whether a look has reported that it waits for long.
    is_reported: bool,
    /// Whose line it is in, by the index of the key.
    pub(super) entry: usize,
}

/// A caller that is about to wait.
pub(super) struct Request {
    pub(super) units: u32,
    pub(super) since: u64,
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

/// A bucket, shared with those who do not lock, or only under the mutex.
pub(super) enum Account<'a> {
    Shared(&'a Bucket),
    Owned { quota: Quota, arrival: &'a mut u64 },
}

/// What came of a caller's turn.
pub(super) enum Turn {
    /// It has its units and is in line no more.
    Through {
        units: u32,
        since: u64,
    },
    Refused(RateError),
    /// It is the first, and its units will be there after this time.
    Short(Duration),
    /// Others come first.
    Behind,
}

/// A wait that is long and not over.
pub(super) struct LongWait {
    pub(super) units: u32,
    pub(super) waited: Duration,
    pub(super) waiting: usize,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self {
            queue: Queue::new(),
            units: 0,
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
        wakes: &mut WakeList,
    ) {
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
        long_wait: Duration,
    ) -> Option<LongWait> {
        let wait = waiters.get_mut(self.queue.front()?)?;
        let waited = Duration::from_nanos(now.saturating_sub(wait.since));
        if wait.is_reported || waited < long_wait {
            return None;
        }
        wait.is_reported = true;
        Some(LongWait {
            units: wait.units,
            waited,
            waiting: self.queue.len(),
        })
    }

    /// Takes a waiter out; returns the next one's waker, if it comes first now.
    fn leave(&mut self, waiters: &mut Waiters<Waiter>, waiter: usize) -> Option<Waker> {
        let wait = waiters.get(waiter).filter(|wait| wait.exceeds.is_none())?;
        let was_first = self.is_first(waiter);
        self.units -= u64::from(wait.units);
        waiters.unlink(&mut self.queue, waiter);
        if was_first {
            self.wake_first(waiters)
        } else {
            None
        }
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
            exceeds: None,
            is_reported: false,
            entry,
        };
        self.line.units += u64::from(units);
        Ok(self.waiters.push_back(&mut self.line.queue, waker, waiter))
    }

    /// Lets a waiter take its units if it is its turn. `waker` is stored if it has to wait; what
    /// it is in the end is the caller's to drop, and the list the caller's to wake.
    pub(super) fn turn(
        &mut self,
        waiter: usize,
        now: u64,
        waker: &mut Option<Waker>,
        wakes: &mut WakeList,
    ) -> Turn {
        let Some(wait) = self.waiters.get(waiter) else {
            return Turn::Behind;
        };
        let (units, since) = (wait.units, wait.since);
        if let Some(burst) = wait.exceeds {
            let requested = units;
            return Turn::Refused(RateError::ExceedsBurst { requested, burst });
        }
        let turn = if !self.line.is_first(waiter) {
            Turn::Behind
        } else if let Err(wait) = self.bucket.spend(now, units) {
            Turn::Short(wait)
        } else {
            wakes.push(self.line.leave(self.waiters, waiter));
            *waker = self.waiters.remove(waiter).and_then(|(_, old)| old);
            return Turn::Through { units, since };
        };
        if let Some(new) = waker.take() {
            *waker = self.waiters.set_waker(waiter, new);
        }
        turn
    }

    /// Takes a waiter out that gives up; returns whom to wake and what to drop.
    pub(super) fn give_up(&mut self, waiter: usize) -> (Option<Waker>, Option<Waker>) {
        let next = self.line.leave(self.waiters, waiter);
        let removed = self.waiters.remove(waiter);
        (next, removed.and_then(|(_, waker)| waker))
    }

    /// How long it takes until units are there for a caller that comes now.
    pub(super) fn foresee(&self, now: u64, units: u32) -> Duration {
        let units = self.line.units.saturating_add(units.into());
        gcra::foresee(&self.bucket.quota(), self.bucket.ahead(now), units)
    }
}

impl Account<'_> {
    pub(super) fn quota(&self) -> Quota {
        match self {
            Account::Shared(bucket) => bucket.quota(),
            Account::Owned { quota, .. } => *quota,
        }
    }

    fn spend(&mut self, now: u64, units: u32) -> Result<(), Duration> {
        match self {
            Account::Shared(bucket) => bucket.spend(now, units),
            Account::Owned { quota, arrival } => {
                **arrival = gcra::spend(quota, **arrival, now, units)?;
                Ok(())
            }
        }
    }

    /// How many units are there.
    pub(super) fn level(&self, now: u64) -> u32 {
        gcra::level(&self.quota(), self.ahead(now))
    }

    fn ahead(&self, now: u64) -> u64 {
        match self {
            Account::Shared(bucket) => bucket.ahead(now),
            Account::Owned { arrival, .. } => arrival.saturating_sub(now),
        }
    }
}

impl Waiter {
    /// Since when it waits, if it still does.
    pub(super) fn waits_since(&self) -> Option<u64> {
        self.exceeds.is_none().then_some(self.since)
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
