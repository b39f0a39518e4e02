use std::{mem, panic::Location, sync::Arc, task::Waker, time::Duration};

use steadfast_clock::Instant;

use crate::{
    config::REPORTS_A_LOOK,
    key_table::{Key, KeyTable},
    overdue::{Overdue, Thresholds, What},
    wait_queue::{Queue, Waiters, WakeList},
};

/// One part of the lock's state. An entry exists exactly while its key has an owner.
#[derive(Debug)]
pub(super) struct Shard<K> {
    pub(super) closed: bool,
    /// How often keys were locked, and how often callers waited too long for it.
    pub(super) acquired: u64,
    pub(super) timeouts: u64,
    pub(super) keys: KeyTable<K, Owner>,
    pub(super) waiters: Waiters<Waiter>,
}

/// Who has a key: a guard, or a waiter that was granted it and is yet to be polled.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) location: &'static Location<'static>,
    /// Since when; `None` while nobody waited or looked, because locking a free key reads no clock.
    pub(super) since: Option<Instant>,
    /// The waiter, if it is one.
    pub(super) unclaimed: Option<usize>,
    /// Whether it was told that this takes long.
    pub(super) is_reported: bool,
    pub(super) queue: Queue,
}

impl Owner {
    /// How long the owner has had the key, measured from now on if it was not before; `None` if
    /// the key is unclaimed.
    pub(super) fn held_for(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let held_for = now.saturating_duration_since(since);
        self.unclaimed.is_none().then_some(held_for)
    }

    /// Makes the first waiter the owner, if there is one, and returns it.
    fn hand_over(&mut self, waiters: &mut Waiters<Waiter>, now: Instant) -> Option<usize> {
        let next = waiters.pop_front(&mut self.queue)?;
        if let Some(waiter) = waiters.get_mut(next) {
            waiter.outcome = Outcome::Granted;
            self.location = waiter.location;
        }
        self.since = Some(now);
        self.unclaimed = Some(next);
        self.is_reported = false;
        Some(next)
    }

    fn overdue(&self, what: What, duration: Duration) -> Overdue {
        Overdue {
            what,
            caller: self.location,
            duration,
            waiting: self.queue.len(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) entry: usize,
    pub(super) location: &'static Location<'static>,
    pub(super) since: Instant,
    pub(super) outcome: Outcome,
    /// Whether it was told that this takes long.
    pub(super) is_reported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Waiting,
    /// This waiter is the owner of the key.
    Granted,
    Closed,
}

/// What a waiter finds when it is polled.
#[derive(Debug)]
pub(super) enum Polled {
    Waiting,
    /// It waits, for which a clone of its waker has to be brought.
    NeedsWaker,
    Owned(Claim),
    Closed,
}

/// A grant that its waiter came for.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) entry: usize,
    pub(super) waited: Duration,
    /// Set if it was not told before that the wait took long.
    pub(super) overdue: Option<Overdue>,
}

/// What a caller has to wake, to tell and to drop once the shard's mutex is released.
#[derive(Debug)]
#[must_use]
pub(super) struct Leftovers<K> {
    wake: Option<Waker>,
    drop: Option<Waker>,
    key: Option<Key<K>>,
    pub(super) overdue: Option<Overdue>,
}

impl<K> Leftovers<K> {
    const fn none() -> Self {
        Self {
            wake: None,
            drop: None,
            key: None,
            overdue: None,
        }
    }

    /// Wakes and drops, and returns what is to be told.
    pub(super) fn dispose(self) -> Option<Overdue> {
        if let Some(waker) = self.wake {
            waker.wake();
        }
        drop((self.key, self.drop));
        self.overdue
    }
}

/// What a look has seen, with the key if it is to be shown.
#[derive(Debug)]
pub(super) struct Seen<K> {
    pub(super) reports: Vec<(Overdue, Option<Arc<K>>)>,
    pub(super) wakes: WakeList,
}

impl<K> Shard<K> {
    pub(super) const fn new() -> Self {
        Self {
            closed: false,
            acquired: 0,
            timeouts: 0,
            keys: KeyTable::new(),
            waiters: Waiters::new(),
        }
    }

    /// Makes the caller the owner of a key that has none.
    #[inline]
    pub(super) fn own(&mut self, hash: u64, key: K, location: &'static Location<'static>) -> usize {
        let owner = Owner {
            location,
            since: None,
            unclaimed: None,
            is_reported: false,
            queue: Queue::new(),
        };
        self.acquired += 1;
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
                owner.since.get_or_insert(waiter.since);
                Ok(self.waiters.push_back(&mut owner.queue, waker, waiter))
            }
            _ => Err(waker),
        }
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
        let outcome = self.waiters.get(waiter).map(|waiter| waiter.outcome);
        match outcome {
            Some(Outcome::Waiting) if self.waiters.will_wake(waiter, current) => Polled::Waiting,
            Some(Outcome::Waiting) => match clone.take() {
                Some(waker) => {
                    *clone = self.waiters.set_waker(waiter, waker);
                    Polled::Waiting
                }
                None => Polled::NeedsWaker,
            },
            Some(Outcome::Granted) => self.claim(waiter, clone, long_wait),
            Some(Outcome::Closed) | None => {
                *clone = self.waiters.discard(waiter);
                Polled::Closed
            }
        }
    }

    fn claim(&mut self, waiter: usize, waker: &mut Option<Waker>, long_wait: Duration) -> Polled {
        let Some((waiter, left)) = self.waiters.remove(waiter) else {
            return Polled::Closed;
        };
        *waker = left;
        let Some(owner) = self.keys.get_mut(waiter.entry) else {
            return Polled::Closed;
        };
        owner.unclaimed = None;
        owner.is_reported = false;
        self.acquired += 1;
        let granted = owner.since.unwrap_or(waiter.since);
        let waited = granted.saturating_duration_since(waiter.since);
        let is_overdue = waited >= long_wait && !waiter.is_reported;
        Polled::Owned(Claim {
            entry: waiter.entry,
            waited,
            overdue: is_overdue.then(|| owner.overdue(What::Wait, waited)),
        })
    }

    /// Ends an ownership that nobody has measured, and returns the key, to be dropped. Then nobody
    /// waits either, since whoever waits has measured it.
    #[inline]
    pub(super) fn release_unmeasured(&mut self, entry: usize) -> Option<Key<K>> {
        let is_measured = self.keys.get(entry)?.since.is_some();
        if is_measured {
            return None;
        }
        self.keys.remove(entry)
    }

    /// Ends an ownership: the first waiter becomes the owner, or the entry goes.
    pub(super) fn release(
        &mut self,
        entry: usize,
        now: Instant,
        long_hold: Duration,
    ) -> Leftovers<K> {
        let mut leftovers = Leftovers::none();
        let Some(owner) = self.keys.get_mut(entry) else {
            return leftovers;
        };
        if let Some(held_for) = owner.held_for(now)
            && held_for >= long_hold
            && !owner.is_reported
        {
            leftovers.overdue = Some(owner.overdue(What::Hold, held_for));
        }
        match owner.hand_over(&mut self.waiters, now) {
            Some(next) => leftovers.wake = self.waiters.take_waker(next),
            None => leftovers.key = self.keys.remove(entry),
        }
        leftovers
    }

    /// Removes a waiter that gives up; if it was granted the key, the grant goes on.
    pub(super) fn give_up(&mut self, waiter: usize, now: Instant) -> Leftovers<K> {
        let state = self.waiters.get(waiter).map(|w| (w.entry, w.outcome));
        let mut leftovers = match state {
            Some((entry, Outcome::Granted)) => self.release(entry, now, Duration::MAX),
            Some((entry, Outcome::Waiting)) => {
                if let Some(owner) = self.keys.get_mut(entry) {
                    self.waiters.unlink(&mut owner.queue, waiter);
                }
                Leftovers::none()
            }
            Some((_, Outcome::Closed)) | None => Leftovers::none(),
        };
        leftovers.drop = self.waiters.discard(waiter);
        leftovers
    }

    /// Looks at the grant that a waiter waits behind; says after how long to look again.
    pub(super) fn look_ahead(
        &mut self,
        waiter: usize,
        now: Instant,
        thresholds: &Thresholds,
    ) -> (Leftovers<K>, Duration) {
        let entry = self.waiters.get(waiter).map(|waiter| waiter.entry);
        let Some((entry, owner)) = entry.and_then(|at| Some((at, self.keys.get_mut(at)?))) else {
            return (Leftovers::none(), thresholds.next_look(Duration::ZERO));
        };
        let unclaimed = match (owner.unclaimed, owner.since) {
            (Some(_), Some(granted)) => now.saturating_duration_since(granted),
            _ => Duration::ZERO,
        };
        let leftovers = self.look_at_grant(entry, now, thresholds);
        (leftovers, thresholds.next_look(unclaimed))
    }

    /// Reports a grant that is not claimed in time, once, and passes it on if that is wanted and
    /// somebody waits for it. Its waiter keeps what it has, a place, at the end of the queue; it
    /// was woken and need not be woken again.
    fn look_at_grant(
        &mut self,
        entry: usize,
        now: Instant,
        thresholds: &Thresholds,
    ) -> Leftovers<K> {
        let mut leftovers = Leftovers::none();
        let Some(owner) = self.keys.get_mut(entry) else {
            return leftovers;
        };
        let (Some(parked), Some(granted)) = (owner.unclaimed, owner.since) else {
            return leftovers;
        };
        let Some(unclaimed) = thresholds.unclaimed(granted, now) else {
            return leftovers;
        };
        let revoked = thresholds.revoke && !owner.queue.is_empty();
        if !mem::replace(&mut owner.is_reported, true) {
            leftovers.overdue = Some(owner.overdue(What::Unclaimed { revoked }, unclaimed));
        }
        if revoked && let Some(next) = owner.hand_over(&mut self.waiters, now) {
            if let Some(parked) = self.waiters.get_mut(parked) {
                parked.outcome = Outcome::Waiting;
            }
            self.waiters.link_back(&mut owner.queue, parked);
            leftovers.wake = self.waiters.take_waker(next);
        }
        leftovers
    }

    /// Looks at everything for what takes too long, of a queue at its head.
    pub(super) fn look(&mut self, now: Instant, limits: &Thresholds, show_keys: bool) -> Seen<K> {
        let (mut found, mut unclaimed) = (Vec::new(), Vec::new());
        for (entry, owner) in self.keys.iter_mut() {
            if found.len() + unclaimed.len() >= REPORTS_A_LOOK {
                break;
            }
            match owner.held_for(now) {
                Some(held_for) if held_for >= limits.long_hold && !owner.is_reported => {
                    owner.is_reported = true;
                    found.push((owner.overdue(What::Hold, held_for), entry));
                }
                Some(_) => {}
                None => unclaimed.push(entry),
            }
            let first = owner.queue.front();
            let Some(first) = first.and_then(|first| self.waiters.get_mut(first)) else {
                continue;
            };
            let waited = now.saturating_duration_since(first.since);
            if waited >= limits.long_wait && !mem::replace(&mut first.is_reported, true) {
                let caller = first.location;
                let wait = owner.overdue(What::Wait, waited);
                found.push((Overdue { caller, ..wait }, entry));
            }
        }
        let mut wakes = WakeList::default();
        for entry in unclaimed {
            let leftovers = self.look_at_grant(entry, now, limits);
            found.extend(leftovers.overdue.map(|overdue| (overdue, entry)));
            wakes.push(leftovers.wake);
        }
        let reports = found.into_iter().map(|(overdue, entry)| {
            let key = show_keys.then(|| self.keys.share_key(entry)).flatten();
            (overdue, key)
        });
        Seen {
            reports: reports.collect(),
            wakes,
        }
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
