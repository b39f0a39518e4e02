use std::task::Waker;

use super::super::{
    Quota,
    bucket::Account,
    gcra,
    line::{Desk, Line, Look, Waiter},
};
use crate::{
    key_table::{Key, KeyTable},
    overdue::{Overdue, Thresholds},
    wait_queue::{Waiters, WakeList},
};

/// One part of a keyed limiter's state.
#[derive(Debug)]
pub(super) struct Shard<K> {
    pub(super) quota: Quota,
    pub(super) keys: KeyTable<K, Usage>,
    pub(super) waiters: Waiters<Waiter>,
    /// The arrival time of a key that is not tracked: past, unless the burst was raised.
    unknown: u64,
    /// Which change of the quota was the last.
    change: usize,
    /// Where the next sweep goes on.
    cursor: usize,
    /// How often units were asked for.
    calls: usize,
}

/// After how many calls one of them sweeps.
const SWEEP_EVERY: usize = 64;

/// What is remembered of a key.
#[derive(Debug)]
pub(super) struct Usage {
    /// The theoretical arrival time; once it is past, the key is as good as unknown.
    arrival: u64,
    line: Line,
}

/// What came of an attempt to take units.
pub(super) enum Found {
    Taken,
    /// The entry has too few, or others wait for them.
    Short(usize),
    Unknown,
}

impl<K> Shard<K> {
    pub(super) const fn new(quota: Quota) -> Self {
        Self {
            quota,
            keys: KeyTable::new(),
            waiters: Waiters::new(),
            unknown: 0,
            change: 0,
            cursor: 0,
            calls: 0,
        }
    }

    /// Takes units that are there and that nobody waits for.
    #[inline]
    pub(super) fn take(&mut self, hash: u64, key: &K, now: u64, units: u32) -> Found
    where
        K: Eq,
    {
        let Some(entry) = self.keys.find(hash, key) else {
            return Found::Unknown;
        };
        let Some(usage) = self.keys.get_mut(entry) else {
            return Found::Unknown;
        };
        match gcra::spend(&self.quota, usage.arrival, now, units) {
            Ok(arrival) if usage.line.is_empty() => {
                usage.arrival = arrival;
                Found::Taken
            }
            _ => Found::Short(entry),
        }
    }

    /// Begins to track a key, as if it had always been.
    pub(super) fn insert(&mut self, hash: u64, key: K) -> usize {
        let usage = self.untracked();
        self.keys.insert(hash, key, usage)
    }

    /// What would be remembered of a key that is not tracked.
    fn untracked(&self) -> Usage {
        Usage {
            arrival: self.unknown,
            line: Line::new(),
        }
    }

    /// Works with the line and the bucket of an entry, or with those of a key that is not tracked.
    pub(super) fn desk<R>(&mut self, entry: Option<usize>, work: impl FnOnce(Desk<'_>) -> R) -> R {
        let mut untracked = self.untracked();
        let usage = entry.and_then(|entry| self.keys.get_mut(entry));
        let usage = usage.unwrap_or(&mut untracked);
        work(Desk {
            line: &mut usage.line,
            waiters: &mut self.waiters,
            bucket: Account::Owned {
                quota: self.quota,
                arrival: &mut usage.arrival,
            },
        })
    }

    /// Gives units of an entry back; returns whom to wake.
    pub(super) fn refund(&mut self, entry: usize, now: u64, units: u32) -> Option<Waker> {
        let usage = self.keys.get_mut(entry)?;
        let cost = self.quota.cost(units.into());
        let ahead = usage.arrival.saturating_sub(now).saturating_sub(cost);
        usage.arrival = now.saturating_add(ahead).max(self.unknown);
        usage.line.wake_first(&mut self.waiters)
    }

    /// Changes the quota for all keys, tracked or not, unless a later change has come first.
    pub(super) fn set_quota(
        &mut self,
        quota: Quota,
        change: usize,
        now: u64,
        wakes: &mut WakeList,
    ) {
        if change <= self.change {
            return;
        }
        self.change = change;
        let old = std::mem::replace(&mut self.quota, quota);
        let carry_over = |arrival: u64| {
            let ahead = gcra::carry_over(&old, &quota, arrival.saturating_sub(now));
            now.saturating_add(ahead)
        };
        self.unknown = carry_over(self.unknown);
        for usage in self.keys.values_mut() {
            usage.arrival = carry_over(usage.arrival);
            usage
                .line
                .refuse_above(&mut self.waiters, quota.burst(), now, wakes);
        }
    }

    /// Counts a call; says which shard it is to sweep, if it is one that does. They take turns, so
    /// that keys are forgotten also where nobody calls any more.
    #[inline]
    pub(super) fn next_sweep(&mut self) -> Option<usize> {
        self.calls = self.calls.wrapping_add(1);
        let is_due = self.calls.is_multiple_of(SWEEP_EVERY);
        is_due.then_some(self.calls / SWEEP_EVERY)
    }

    /// Looks at a waiter, if it comes first at its key.
    pub(super) fn look(
        &mut self,
        waiter: usize,
        now: u64,
        thresholds: &Thresholds,
    ) -> Option<(Option<Overdue>, Look)> {
        let entry = self.waiters.get(waiter)?.entry;
        self.desk(Some(entry), |mut desk| {
            if !desk.line.is_first(waiter) {
                return None;
            }
            let long = desk.line.long_wait(desk.waiters, now, thresholds);
            Some((long, desk.look_ahead(now, thresholds).0))
        })
    }

    /// Forgets keys among the next `looks` slots that have been idle since `since`; they are to be
    /// dropped once the mutex is released.
    #[inline]
    pub(super) fn sweep(&mut self, since: u64, looks: usize) -> Vec<Key<K>> {
        let mut idle = Vec::new();
        let since = since.max(self.unknown);
        for _ in 0..looks.min(self.keys.slots()) {
            if self.cursor >= self.keys.slots() {
                self.cursor = 0;
            }
            let usage = self.keys.get(self.cursor);
            if usage.is_some_and(|usage| usage.arrival <= since && usage.line.is_empty()) {
                idle.extend(self.keys.remove(self.cursor));
            }
            self.cursor += 1;
        }
        idle
    }
}
