use std::{task::Waker, time::Duration};

use super::super::{
    Quota,
    gcra::{foresee, spend},
};
use crate::{
    key_table::{Key, KeyTable},
    wait_queue::{Queue, Waiters},
};

/// One part of a keyed limiter's state.
#[derive(Debug)]
pub(super) struct Shard<K> {
    pub(super) keys: KeyTable<K, Usage>,
    pub(super) waiters: Waiters<Wait>,
    /// Where the next sweep goes on.
    cursor: usize,
}

/// What is remembered of a key.
#[derive(Debug)]
pub(super) struct Usage {
    /// The theoretical arrival time; once it is past, the key is as good as unknown.
    arrival: u64,
    pub(super) queue: Queue,
    /// What those in the queue wait for in all.
    waiting_units: u64,
}

#[derive(Debug)]
pub(super) struct Wait {
    pub(super) entry: usize,
    pub(super) units: u32,
}

/// What came of an attempt to take units.
pub(super) enum Found {
    Spent,
    /// The entry has too few, or others wait for them.
    Short(usize),
    Unknown,
}

impl<K> Shard<K> {
    pub(super) const fn new() -> Self {
        Self {
            keys: KeyTable::new(),
            waiters: Waiters::new(),
            cursor: 0,
        }
    }

    pub(super) fn spend(&mut self, quota: &Quota, hash: u64, key: &K, now: u64, units: u32) -> Found
    where
        K: Eq,
    {
        let Some(entry) = self.keys.find(hash, key) else {
            return Found::Unknown;
        };
        let Some(usage) = self.keys.get_mut(entry) else {
            return Found::Unknown;
        };
        match spend(quota, usage.arrival, now, units.into()) {
            Ok(arrival) if usage.queue.is_empty() => {
                usage.arrival = arrival;
                Found::Spent
            }
            _ => Found::Short(entry),
        }
    }

    /// How long it would take until a key had units, if it has not now.
    pub(super) fn peek(
        &self,
        quota: &Quota,
        hash: u64,
        key: &K,
        now: u64,
        units: u32,
    ) -> Option<Duration>
    where
        K: Eq,
    {
        let entry = self.keys.find(hash, key)?;
        let usage = self.keys.get(entry)?;
        let is_free = usage.queue.is_empty();
        let is_there = is_free && spend(quota, usage.arrival, now, units.into()).is_ok();
        (!is_there).then(|| self.foresee(quota, entry, now, units))
    }

    /// Takes units for the first in an entry's line, or says how long it has to wait.
    pub(super) fn spend_first(
        &mut self,
        quota: &Quota,
        entry: usize,
        now: u64,
        units: u32,
    ) -> Result<(), Duration> {
        if let Some(usage) = self.keys.get_mut(entry) {
            let spent = spend(quota, usage.arrival, now, units.into());
            usage.arrival = spent.map_err(Duration::from_nanos)?;
        }
        Ok(())
    }

    /// Begins to track a key whose first units are within the burst.
    pub(super) fn insert(&mut self, quota: &Quota, hash: u64, key: K, now: u64, units: u32) {
        let usage = Usage {
            arrival: now.saturating_add(quota.cost(units.into())),
            queue: Queue::new(),
            waiting_units: 0,
        };
        self.keys.insert(hash, key, usage);
    }

    pub(super) fn foresee(&self, quota: &Quota, entry: usize, now: u64, units: u32) -> Duration {
        self.keys.get(entry).map_or(Duration::ZERO, |usage| {
            foresee(quota, usage.arrival, now, usage.waiting_units, units)
        })
    }

    /// Appends to an entry's line; the waker comes back if the line is full.
    pub(super) fn enqueue(
        &mut self,
        wait: Wait,
        waker: Waker,
        max_waiters: usize,
    ) -> Result<usize, Waker> {
        match self.keys.get_mut(wait.entry) {
            Some(usage) if usage.queue.len() < max_waiters => {
                usage.waiting_units += u64::from(wait.units);
                Ok(self.waiters.push_back(&mut usage.queue, waker, wait))
            }
            _ => Err(waker),
        }
    }

    pub(super) fn is_first(&self, entry: usize, waiter: usize) -> bool {
        let usage = self.keys.get(entry);
        usage.is_some_and(|usage| usage.queue.front() == Some(waiter))
    }

    /// Takes a waiter out; returns whom to wake and what to drop.
    pub(super) fn leave(&mut self, entry: usize, waiter: usize) -> (Option<Waker>, Option<Waker>) {
        let was_first = self.is_first(entry, waiter);
        let mut wake = None;
        if let Some(usage) = self.keys.get_mut(entry) {
            self.waiters.unlink(&mut usage.queue, waiter);
            let units = self.waiters.get(waiter).map_or(0, |wait| wait.units);
            usage.waiting_units -= u64::from(units);
            let next = usage.queue.front().filter(|_| was_first);
            wake = next.and_then(|next| self.waiters.take_waker(next));
        }
        let removed = self.waiters.remove(waiter);
        (wake, removed.and_then(|(_, waker)| waker))
    }

    /// Forgets keys among the next `looks` slots that have been idle since `since`; they are to be
    /// dropped once the mutex is released.
    pub(super) fn sweep(&mut self, since: u64, looks: usize) -> Vec<Key<K>> {
        let mut idle = Vec::new();
        for _ in 0..looks.min(self.keys.slots()) {
            if self.cursor >= self.keys.slots() {
                self.cursor = 0;
            }
            let usage = self.keys.get(self.cursor);
            if usage.is_some_and(|usage| usage.arrival <= since && usage.queue.is_empty()) {
                idle.extend(self.keys.remove(self.cursor));
            }
            self.cursor += 1;
        }
        idle
    }
}
