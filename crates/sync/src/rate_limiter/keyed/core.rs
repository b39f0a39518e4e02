use std::{hash::Hash, time::Duration};

use super::{
    super::{
        KeyedRateLimiterSnapshot, Quota,
        line::{Caller, Desk, Request, check_units},
        place::{Counter, Place},
        settings::Settings,
    },
    shard::{Found, Shard},
};
use crate::{
    PrimitiveState, RateError, Snapshot,
    key_table::{Key, Shards},
    registry::Inspect,
    rt::atomic::{AtomicUsize, Ordering},
    timeout::Patience,
    wait_queue::WakeList,
};

/// How long each call leaves idle keys alone, so that a key in steady use is not forgotten and
/// tracked anew all the time: one second, in nanoseconds.
const KEEP_IDLE: u64 = 1_000_000_000;

/// How many keys at once calls look at, to find those that are idle.
const LOOKS: usize = 128;

/// How many keys or waiters a walk through all of them looks at while it locks a shard.
const BATCH: usize = 256;

/// What the limiter and the registry share.
pub(super) struct Core<K> {
    pub(super) settings: Settings,
    max_keys: usize,
    /// How many keys the shards hold together.
    len: AtomicUsize,
    shards: Shards<Shard<K>>,
    /// How often the quota was changed.
    changes: AtomicUsize,
}

/// The line of a key, while somebody waits in it.
struct KeyLine<'a, K> {
    core: &'a Core<K>,
    shard: usize,
    entry: usize,
}

impl<K> Core<K> {
    pub(super) fn new(settings: Settings, quota: Quota, max_keys: usize) -> Self {
        Self {
            settings,
            max_keys,
            len: AtomicUsize::new(0),
            shards: Shards::new(|| Shard::new(quota)),
            changes: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn quota(&self) -> Quota {
        self.shards.lock(0).quota
    }

    pub(super) fn set_quota(&self, quota: Quota) {
        let change = 1 + self.changes.fetch_add(1, Ordering::Relaxed);
        let mut wakes = WakeList::default();
        for index in 0..self.shards.len() {
            let now = self.settings.now();
            let mut shard = self.shards.lock(index);
            shard.set_quota(quota, change, now, &mut wakes);
        }
        wakes.wake();
    }

    pub(super) fn sweep_all(&self) -> usize {
        let now = self.settings.now();
        let mut swept = 0;
        for index in 0..self.shards.len() {
            let slots = self.shards.lock(index).keys.slots();
            for _ in 0..slots.div_ceil(BATCH) {
                swept += self.sweep(index, now, BATCH);
            }
        }
        swept
    }

    fn sweep(&self, shard: usize, since: u64, looks: usize) -> usize {
        let mut shard = self.shards.lock(shard);
        let idle = shard.sweep(since, looks);
        self.forget(&idle);
        drop(shard);
        idle.len()
    }

    fn forget(&self, idle: &[Key<K>]) {
        if !idle.is_empty() {
            self.len.fetch_sub(idle.len(), Ordering::Relaxed);
        }
    }

    /// Counts a key that is about to be tracked, unless there are as many as allowed.
    fn reserve(&self) -> Result<(), RateError> {
        let max_keys = self.max_keys;
        let more = |len: usize| (len < max_keys).then_some(len + 1);
        let reserved = self
            .len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        match reserved {
            Ok(_) => Ok(()),
            Err(_) => Err(RateError::TooManyKeys { max_keys }),
        }
    }

    pub(super) fn snapshot(&self) -> KeyedRateLimiterSnapshot {
        let (mut waiting, mut oldest) = (0, None);
        self.look_at_waiters(
            |shard, waiter| shard.waiters.get(waiter)?.waits_since(),
            |since| {
                waiting += 1;
                oldest = Some(oldest.map_or(since, |oldest: u64| oldest.min(since)));
            },
        );
        let now = self.settings.now();
        KeyedRateLimiterSnapshot {
            quota: self.quota(),
            keys: self.len(),
            waiting,
            oldest_wait: oldest.map(|since| Duration::from_nanos(now.saturating_sub(since))),
            denied: self.settings.refused(),
        }
    }

    /// Looks at all waiters, and at what it found where no shard is locked.
    fn look_at_waiters<T>(
        &self,
        find: impl Fn(&mut Shard<K>, usize) -> Option<T>,
        mut found: impl FnMut(T),
    ) {
        for index in 0..self.shards.len() {
            let slots = self.shards.lock(index).waiters.slots();
            for start in (0..slots).step_by(BATCH) {
                let mut shard = self.shards.lock(index);
                let batch = start..start + BATCH;
                let all: Vec<T> = batch
                    .filter_map(|waiter| find(&mut shard, waiter))
                    .collect();
                drop(shard);
                all.into_iter().for_each(&mut found);
            }
        }
    }
}

impl<K: Eq + Hash + Clone + Send + Sync> Core<K> {
    /// Takes units if they are there and nobody waits.
    pub(super) fn take(&self, key: &K, units: u32) -> Result<(), RateError> {
        if units == 0 {
            return Err(RateError::ZeroUnits);
        }
        let hash = self.shards.hash(key);
        let index = self.shards.index(hash);
        let now = self.settings.now();
        let mut new_key = None;
        let (outcome, sweep) = loop {
            let mut shard = self.shards.lock(index);
            let outcome = match shard.take(hash, key, now, units) {
                Found::Taken => Ok(()),
                Found::Short(entry) => shard.desk(Some(entry), |mut desk| desk.take(now, units)),
                Found::Unknown if new_key.is_none() => {
                    drop(shard);
                    // The key is cloned where no mutex is held.
                    new_key = Some(key.clone());
                    continue;
                }
                Found::Unknown => self.take_first(&mut shard, hash, &mut new_key, now, units),
            };
            break (outcome, shard.next_sweep());
        };
        if let Some(shard) = sweep {
            self.sweep(shard, now.saturating_sub(KEEP_IDLE), LOOKS);
        }
        outcome?;
        self.settings.report_taken(units);
        Ok(())
    }

    /// Takes the first units of a key that is not tracked.
    fn take_first(
        &self,
        shard: &mut Shard<K>,
        hash: u64,
        key: &mut Option<K>,
        now: u64,
        units: u32,
    ) -> Result<(), RateError> {
        check_units(&shard.quota, units)?;
        self.reserve()?;
        let entry = key.take().map(|key| shard.insert(hash, key));
        shard.desk(entry, |mut desk| desk.take(now, units))
    }

    pub(super) async fn acquire(
        &self,
        key: &K,
        units: u32,
        patience: Option<Patience>,
        caller: Caller,
    ) -> Result<(), RateError> {
        let settings = &self.settings;
        let refuse = |error| settings.refuse(units, error);
        let hash = self.shards.hash(key);
        let shard = self.shards.index(hash);
        loop {
            match self.take(key, units) {
                Err(RateError::Denied { .. }) => {}
                outcome => return outcome.map_err(refuse),
            }
            let mut request = Request::new(settings, units, patience, caller).await;
            let enqueued = {
                let mut shard = self.shards.lock(shard);
                let entry = shard.keys.find(hash, key);
                entry.map(|entry| {
                    shard.desk(Some(entry), |mut desk| {
                        let waiter = desk.enqueue(&mut request, entry, settings.max_waiters);
                        waiter.map(|waiter| (entry, waiter))
                    })
                })
            };
            // Unless the key was forgotten in the meantime.
            if let Some(enqueued) = enqueued {
                let (entry, waiter) = enqueued.map_err(refuse)?;
                let core = self;
                let line = KeyLine { core, shard, entry };
                return Place::new(&line, waiter).wait(request).await;
            }
        }
    }

    pub(super) fn peek(&self, key: &K, units: u32) -> Result<(), RateError> {
        let now = self.settings.now();
        self.seen(key, |desk| desk.peek(now, units))
    }

    pub(super) fn refund(&self, key: &K, units: u32) {
        let now = self.settings.now();
        let hash = self.shards.hash(key);
        let mut shard = self.shards.lock(self.shards.index(hash));
        let entry = shard.keys.find(hash, key);
        let wake = entry.and_then(|entry| shard.refund(entry, now, units));
        drop(shard);
        if let Some(waker) = wake {
            waker.wake();
        }
    }

    /// Looks at a key, tracked or not.
    pub(super) fn seen<R>(&self, key: &K, look: impl FnOnce(Desk<'_>) -> R) -> R {
        let hash = self.shards.hash(key);
        let mut shard = self.shards.lock(self.shards.index(hash));
        let entry = shard.keys.find(hash, key);
        shard.desk(entry, look)
    }
}

impl<K: Send + Sync> Counter for KeyLine<'_, K> {
    fn settings(&self) -> &Settings {
        &self.core.settings
    }

    fn desk<R>(&self, work: impl FnOnce(Desk<'_>) -> R) -> R {
        let mut shard = self.core.shards.lock(self.shard);
        shard.desk(Some(self.entry), work)
    }
}

impl<K: Send + Sync> Inspect for Core<K> {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.settings.name.clone(),
            state: PrimitiveState::KeyedRateLimiter(self.snapshot()),
        }
    }

    fn look(&self) {
        self.sweep_all();
        let (now, thresholds) = (self.settings.now(), &self.settings.thresholds);
        self.look_at_waiters(
            |shard, waiter| shard.look(waiter, now, thresholds),
            |(long, look)| {
                self.settings.settle(look);
                if let Some(overdue) = long {
                    self.settings.report(overdue);
                }
            },
        );
    }
}
