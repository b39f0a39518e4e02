use std::task::Waker;

use steadfast_clock::Instant;

use crate::wait_queue::{Queue, Waiters, WakeList};

/// What the semaphore's mutex guards. Nobody waits whose permits are free.
#[derive(Debug)]
pub(super) struct State {
    pub(super) capacity: usize,
    /// More than the capacity after it was lowered: a debt that releases pay back.
    pub(super) in_use: usize,
    /// How often permits were acquired so far.
    pub(super) acquired: u64,
    pub(super) closed: bool,
    pub(super) queue: Queue,
    pub(super) waiters: Waiters<Waiter>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) permits: usize,
    pub(super) since: Instant,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Waiting,
    /// The permits are in use by this waiter.
    Granted,
    /// The capacity was lowered below what this waiter wants.
    ExceedsCapacity,
    Closed,
}

impl State {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            in_use: 0,
            acquired: 0,
            closed: false,
            queue: Queue::new(),
            waiters: Waiters::new(),
        }
    }

    pub(super) fn available(&self) -> usize {
        self.capacity.saturating_sub(self.in_use)
    }

    /// Takes permits that are free, unless somebody waits.
    pub(super) fn take(&mut self, permits: usize) -> bool {
        let free = self.queue.is_empty() && permits <= self.available();
        if free {
            self.in_use += permits;
            self.acquired += 1;
        }
        free
    }

    pub(super) fn enqueue(&mut self, permits: usize, since: Instant, waker: Waker) -> usize {
        let waiter = Waiter {
            permits,
            since,
            outcome: Outcome::Waiting,
        };
        self.waiters.push_back(&mut self.queue, waker, waiter)
    }

    pub(super) fn release(&mut self, permits: usize) -> WakeList {
        self.in_use = self.in_use.saturating_sub(permits);
        self.grant()
    }

    /// Removes a waiter that gives up, and whatever it had been granted goes on to the next.
    pub(super) fn give_up(&mut self, waiter: usize) -> (WakeList, Option<Waker>) {
        let state = self.waiters.get(waiter).map(|w| (w.permits, w.outcome));
        let wakes = match state {
            Some((permits, Outcome::Granted)) => self.release(permits),
            Some((_, Outcome::Waiting)) => {
                self.waiters.unlink(&mut self.queue, waiter);
                self.grant()
            }
            Some((_, Outcome::ExceedsCapacity | Outcome::Closed)) | None => WakeList::default(),
        };
        let waker = self.waiters.remove(waiter).and_then(|(_, waker)| waker);
        (wakes, waker)
    }

    /// Changes the capacity; waiters that want more than that are refused.
    pub(super) fn set_capacity(&mut self, capacity: usize) -> WakeList {
        self.capacity = capacity;
        let mut wakes = WakeList::default();
        let mut next = self.queue.front();
        while let Some(waiter) = next {
            next = self.waiters.next(waiter);
            if self
                .waiters
                .get(waiter)
                .is_some_and(|w| w.permits > capacity)
            {
                self.waiters.unlink(&mut self.queue, waiter);
                wakes.push(self.settle(waiter, Outcome::ExceedsCapacity));
            }
        }
        self.grant_into(&mut wakes);
        wakes
    }

    pub(super) fn close(&mut self) -> WakeList {
        self.closed = true;
        let mut wakes = WakeList::default();
        while let Some(waiter) = self.waiters.pop_front(&mut self.queue) {
            wakes.push(self.settle(waiter, Outcome::Closed));
        }
        wakes
    }

    /// Serves those whose permits are free.
    pub(super) fn grant(&mut self) -> WakeList {
        let mut wakes = WakeList::default();
        self.grant_into(&mut wakes);
        wakes
    }

    /// Gives free permits to the waiters in turn, up to the first that needs more than is free.
    fn grant_into(&mut self, wakes: &mut WakeList) {
        while let Some(first) = self.queue.front() {
            let wanted = self.waiters.get(first).map_or(0, |waiter| waiter.permits);
            if wanted > self.available() {
                break;
            }
            self.in_use += wanted;
            self.acquired += 1;
            self.waiters.unlink(&mut self.queue, first);
            wakes.push(self.settle(first, Outcome::Granted));
        }
    }

    fn settle(&mut self, waiter: usize, outcome: Outcome) -> Option<Waker> {
        if let Some(waiter) = self.waiters.get_mut(waiter) {
            waiter.outcome = outcome;
        }
        self.waiters.take_waker(waiter)
    }
}
