use std::{panic::Location, task::Waker, time::Duration};

use steadfast_clock::Instant;

use crate::{
    key_table::{Key, KeyTable},
    wait_queue::{Queue, Waiters, WakeList},
};

/// One part of the lock's state. An entry exists exactly while its key has an owner.
#[derive(Debug)]
pub(super) struct Shard<K> {
    pub(super) closed: bool,
    pub(super) keys: KeyTable<K, Owner>,
    pub(super) waiters: Waiters<Waiter>,
}

/// Who has a key: a guard, or a waiter that was granted it and is yet to be polled.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) location: &'static Location<'static>,
    pub(super) since: Since,
    pub(super) queue: Queue,
}

/// Since when an owner has its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// A free key was locked, which reads no clock.
    Unmeasured,
    /// It was granted to a waiter that has not been polled since.
    Unclaimed,
    Known(Instant),
}

impl Owner {
    /// How long the owner has had the key, measured from now on if it was not before; `None` if
    /// the key is unclaimed.
    pub(super) fn held_for(&mut self, now: Instant) -> Option<Duration> {
        match self.since {
            Since::Unmeasured => {
                self.since = Since::Known(now);
                Some(Duration::ZERO)
            }
            Since::Unclaimed => None,
            Since::Known(since) => Some(now.saturating_duration_since(since)),
        }
    }
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) entry: usize,
    pub(super) location: &'static Location<'static>,
    pub(super) since: Instant,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Waiting,
    /// This waiter is the owner of the key.
    Granted,
    Closed,
}

/// What a caller has to wake and to drop once the shard's mutex is released.
#[derive(Debug)]
#[must_use]
pub(super) struct Leftovers<K> {
    wake: Option<Waker>,
    drop: Option<Waker>,
    key: Option<Key<K>>,
}

impl<K> Leftovers<K> {
    fn none() -> Self {
        Self {
            wake: None,
            drop: None,
            key: None,
        }
    }

    pub(super) fn dispose(self) {
        if let Some(waker) = self.wake {
            waker.wake();
        }
        drop((self.key, self.drop));
    }
}

impl<K> Shard<K> {
    pub(super) const fn new() -> Self {
        Self {
            closed: false,
            keys: KeyTable::new(),
            waiters: Waiters::new(),
        }
    }

    /// Makes the caller the owner of a key that has none.
    #[inline]
    pub(super) fn own(&mut self, hash: u64, key: K, location: &'static Location<'static>) -> usize {
        let owner = Owner {
            location,
            since: Since::Unmeasured,
            queue: Queue::new(),
        };
        self.keys.insert(hash, key, owner)
    }

    /// Queues the caller behind everybody who waits already; the waker comes back if the queue is
    /// full.
    pub(super) fn enqueue(
        &mut self,
        waiter: Waiter,
        waker: Waker,
        max_waiters: usize,
    ) -> Result<usize, Waker> {
        match self.keys.get_mut(waiter.entry) {
            Some(owner) if owner.queue.len() < max_waiters => {
                let _ = owner.held_for(waiter.since);
                Ok(self.waiters.push_back(&mut owner.queue, waker, waiter))
            }
            _ => Err(waker),
        }
    }

    /// Ends an ownership: the first waiter becomes the owner, or the entry goes.
    #[inline]
    pub(super) fn release(&mut self, entry: usize) -> Leftovers<K> {
        let mut leftovers = Leftovers::none();
        let Some(owner) = self.keys.get_mut(entry) else {
            return leftovers;
        };
        match self.waiters.pop_front(&mut owner.queue) {
            Some(next) => {
                if let Some(waiter) = self.waiters.get_mut(next) {
                    waiter.outcome = Outcome::Granted;
                    owner.location = waiter.location;
                    owner.since = Since::Unclaimed;
                }
                leftovers.wake = self.waiters.take_waker(next);
            }
            None => leftovers.key = self.keys.remove(entry),
        }
        leftovers
    }

    /// Removes a waiter that gives up; if it was granted the key, the grant goes on.
    pub(super) fn give_up(&mut self, waiter: usize) -> Leftovers<K> {
        let state = self.waiters.get(waiter).map(|w| (w.entry, w.outcome));
        let mut leftovers = match state {
            Some((entry, Outcome::Granted)) => self.release(entry),
            Some((entry, Outcome::Waiting)) => {
                if let Some(owner) = self.keys.get_mut(entry) {
                    self.waiters.unlink(&mut owner.queue, waiter);
                }
                Leftovers::none()
            }
            Some((_, Outcome::Closed)) | None => Leftovers::none(),
        };
        leftovers.drop = self.waiters.remove(waiter).and_then(|(_, waker)| waker);
        leftovers
    }

    /// Refuses all waiters, now and later; owners keep what they have.
    pub(super) fn close(&mut self) -> WakeList {
        self.closed = true;
        let mut wakes = WakeList::default();
        for owner in self.keys.values_mut() {
            while let Some(waiter) = self.waiters.pop_front(&mut owner.queue) {
                if let Some(waiter) = self.waiters.get_mut(waiter) {
                    waiter.outcome = Outcome::Closed;
                }
                wakes.push(self.waiters.take_waker(waiter));
            }
        }
        wakes
    }
}
