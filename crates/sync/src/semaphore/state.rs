use std::{mem, panic::Location, task::Waker, time::Duration};

use steadfast_clock::Instant;

use crate::{
    overdue::{Overdue, What},
    wait_queue::{Queue, Waiters, WakeList},
};

/// What the semaphore's mutex guards. Nobody waits whose permits are free.
#[derive(Debug)]
pub(super) struct State {
    pub(super) capacity: usize,
    /// More than the capacity after it was lowered: a debt that releases pay back.
    pub(super) in_use: usize,
    /// How often permits were acquired, and how often callers waited too long for them.
    pub(super) acquired: u64,
    pub(super) timeouts: u64,
    pub(super) closed: bool,
    pub(super) queue: Queue,
    /// Who was granted permits and is yet to be polled, the oldest grant first.
    pub(super) unclaimed: Queue,
    /// Who has permits that were free, since nobody knows when.
    unmeasured: Queue,
    pub(super) callers: Waiters<Caller>,
}

/// Somebody who waits for permits, was granted them, or has them.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) permits: usize,
    pub(super) location: &'static Location<'static>,
    /// When the stage began; `None` if nobody waited or looked since free permits were acquired,
    /// which reads no clock.
    pub(super) since: Option<Instant>,
    pub(super) stage: Stage,
    /// Whether it was told that the stage takes long.
    pub(super) is_reported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    /// The permits are in use by this waiter.
    Granted {
        /// How long it waited for them.
        waited: Duration,
        /// Whether it was told that this took long.
        is_reported: bool,
    },
    Holding,
    /// The capacity was lowered below what this waiter wants.
    ExceedsCapacity,
    Closed,
}

/// What a waiter finds when it is polled.
#[derive(Debug)]
pub(super) enum Polled {
    Waiting,
    /// It waits, for which a clone of its waker has to be brought.
    NeedsWaker,
    Acquired {
        permits: usize,
        waited: Duration,
        /// Set if it was not told before that the wait took long.
        overdue: Option<Overdue>,
    },
    ExceedsCapacity {
        requested: usize,
        capacity: usize,
    },
    Closed,
}

impl Caller {
    pub(super) fn age(&self, now: Instant) -> Duration {
        let age = |since| now.saturating_duration_since(since);
        self.since.map_or(Duration::ZERO, age)
    }

    /// What is to be told, once, if the stage takes long.
    pub(super) fn overdue(&mut self, what: What, age: Duration, waiting: usize) -> Option<Overdue> {
        let is_reported = mem::replace(&mut self.is_reported, true);
        (!is_reported).then_some(Overdue {
            what,
            caller: self.location,
            duration: age,
            waiting,
        })
    }
}

impl State {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            in_use: 0,
            acquired: 0,
            timeouts: 0,
            closed: false,
            queue: Queue::new(),
            unclaimed: Queue::new(),
            unmeasured: Queue::new(),
            callers: Waiters::new(),
        }
    }

    pub(super) fn available(&self) -> usize {
        self.capacity.saturating_sub(self.in_use)
    }

    /// Takes permits that are free, unless somebody waits.
    #[inline]
    pub(super) fn take(
        &mut self,
        permits: usize,
        location: &'static Location<'static>,
    ) -> Option<usize> {
        if !self.queue.is_empty() || permits > self.available() {
            return None;
        }
        self.in_use += permits;
        self.acquired += 1;
        let holder = self.callers.insert(
            None,
            Caller {
                permits,
                location,
                since: None,
                stage: Stage::Holding,
                is_reported: false,
            },
        );
        self.callers.link_back(&mut self.unmeasured, holder);
        Some(holder)
    }

    pub(super) fn enqueue(
        &mut self,
        permits: usize,
        location: &'static Location<'static>,
        now: Instant,
        waker: Waker,
    ) -> usize {
        self.measure(now);
        let waiter = Caller {
            permits,
            location,
            since: Some(now),
            stage: Stage::Waiting,
            is_reported: false,
        };
        self.callers.push_back(&mut self.queue, waker, waiter)
    }

    /// Measures from now on who was not measured before: each holder once, by whoever comes first.
    pub(super) fn measure(&mut self, now: Instant) {
        while let Some(holder) = self.callers.pop_front(&mut self.unmeasured) {
            if let Some(holder) = self.callers.get_mut(holder) {
                holder.since = Some(now);
            }
        }
    }

    /// Takes back what a holder has, if nobody has measured it. Then nobody waits either, since
    /// whoever waits has measured everybody.
    #[inline]
    pub(super) fn release_unmeasured(&mut self, holder: usize) -> bool {
        let caller = self.callers.get(holder);
        let Some(permits) = caller.and_then(|c| c.since.is_none().then_some(c.permits)) else {
            return false;
        };
        self.callers.unlink(&mut self.unmeasured, holder);
        self.drop_holder(holder, permits);
        true
    }

    /// Takes back what a measured holder has, and serves whose permits are free then.
    pub(super) fn release(
        &mut self,
        holder: usize,
        now: Instant,
        long_hold: Duration,
    ) -> (WakeList, Option<Overdue>) {
        let waiting = self.queue.len();
        let Some(caller) = self.callers.get_mut(holder) else {
            return (WakeList::default(), None);
        };
        let (permits, held_for) = (caller.permits, caller.age(now));
        let overdue = if held_for >= long_hold {
            caller.overdue(What::Hold, held_for, waiting)
        } else {
            None
        };
        self.drop_holder(holder, permits);
        (self.grant(now), overdue)
    }

    #[inline]
    fn drop_holder(&mut self, holder: usize, permits: usize) {
        // Whoever holds has come for its permits, and so left no waker.
        let _no_waker = self.callers.discard(holder);
        self.in_use = self.in_use.saturating_sub(permits);
    }

    /// Takes what the waiter was granted, or has `current` woken, for which `clone` must hold a
    /// clone of it unless it is stored already. `clone` is left with what is to be dropped.
    pub(super) fn poll(
        &mut self,
        waiter: usize,
        current: &Waker,
        clone: &mut Option<Waker>,
        long_wait: Duration,
    ) -> Polled {
        let stage = self.callers.get(waiter).map(|caller| caller.stage);
        match stage {
            Some(Stage::Waiting) if self.callers.will_wake(waiter, current) => Polled::Waiting,
            Some(Stage::Waiting) => match clone.take() {
                Some(waker) => {
                    *clone = self.callers.set_waker(waiter, waker);
                    Polled::Waiting
                }
                None => Polled::NeedsWaker,
            },
            Some(Stage::Granted { .. }) => self.claim(waiter, long_wait),
            Some(Stage::ExceedsCapacity) => {
                let removed = self.callers.remove(waiter);
                let requested = removed.as_ref().map_or(0, |(waiter, _)| waiter.permits);
                *clone = removed.and_then(|(_, waker)| waker);
                Polled::ExceedsCapacity {
                    requested,
                    capacity: self.capacity,
                }
            }
            Some(Stage::Closed) => {
                *clone = self.remove(waiter);
                Polled::Closed
            }
            Some(Stage::Holding) | None => Polled::Closed,
        }
    }

    fn claim(&mut self, waiter: usize, long_wait: Duration) -> Polled {
        let waiting = self.queue.len();
        let Some(caller) = self.callers.get_mut(waiter) else {
            return Polled::Closed;
        };
        let Stage::Granted {
            waited,
            is_reported,
        } = caller.stage
        else {
            return Polled::Closed;
        };
        caller.stage = Stage::Holding;
        caller.is_reported = is_reported || waited < long_wait;
        let overdue = caller.overdue(What::Wait, waited, waiting);
        caller.is_reported = false;
        let permits = caller.permits;
        self.callers.unlink(&mut self.unclaimed, waiter);
        self.acquired += 1;
        Polled::Acquired {
            permits,
            waited,
            overdue,
        }
    }

    /// Removes a waiter that gives up, and whatever it had been granted goes on to the next.
    pub(super) fn give_up(&mut self, waiter: usize, now: Instant) -> (WakeList, Option<Waker>) {
        let state = self.callers.get(waiter).map(|w| (w.permits, w.stage));
        match state {
            Some((permits, Stage::Granted { .. })) => {
                self.callers.unlink(&mut self.unclaimed, waiter);
                self.in_use = self.in_use.saturating_sub(permits);
            }
            Some((_, Stage::Waiting)) => self.callers.unlink(&mut self.queue, waiter),
            _ => {}
        }
        let waker = self.remove(waiter);
        (self.grant(now), waker)
    }

    fn remove(&mut self, waiter: usize) -> Option<Waker> {
        self.callers.discard(waiter)
    }

    /// Changes the capacity; waiters that want more than that are refused.
    pub(super) fn set_capacity(&mut self, capacity: usize, now: Instant) -> WakeList {
        self.capacity = capacity;
        let mut wakes = WakeList::default();
        let mut next = self.queue.front();
        while let Some(waiter) = next {
            next = self.callers.next(waiter);
            let wanted = self.callers.get(waiter).map_or(0, |caller| caller.permits);
            if wanted > capacity {
                self.callers.unlink(&mut self.queue, waiter);
                wakes.push(self.settle(waiter, Stage::ExceedsCapacity));
            }
        }
        self.grant_into(&mut wakes, now);
        wakes
    }

    pub(super) fn close(&mut self) -> WakeList {
        self.closed = true;
        let mut wakes = WakeList::default();
        while let Some(waiter) = self.callers.pop_front(&mut self.queue) {
            wakes.push(self.settle(waiter, Stage::Closed));
        }
        wakes
    }

    /// Serves those whose permits are free.
    pub(super) fn grant(&mut self, now: Instant) -> WakeList {
        let mut wakes = WakeList::default();
        self.grant_into(&mut wakes, now);
        wakes
    }

    /// Gives free permits to the waiters in turn, up to the first that needs more than is free.
    pub(super) fn grant_into(&mut self, wakes: &mut WakeList, now: Instant) {
        while let Some(first) = self.queue.front() {
            let available = self.available();
            let Some(waiter) = self.callers.get_mut(first) else {
                break;
            };
            if waiter.permits > available {
                break;
            }
            let granted = Stage::Granted {
                waited: waiter.age(now),
                is_reported: mem::replace(&mut waiter.is_reported, false),
            };
            waiter.since = Some(now);
            self.in_use += waiter.permits;
            self.callers.unlink(&mut self.queue, first);
            self.callers.link_back(&mut self.unclaimed, first);
            wakes.push(self.settle(first, granted));
        }
    }

    fn settle(&mut self, waiter: usize, stage: Stage) -> Option<Waker> {
        if let Some(waiter) = self.callers.get_mut(waiter) {
            waiter.stage = stage;
        }
        self.callers.take_waker(waiter)
    }
}
