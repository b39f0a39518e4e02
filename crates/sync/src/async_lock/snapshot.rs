use std::{cmp::Reverse, sync::Arc, time::Duration};

use steadfast_clock::Instant;

use super::{
    core::Core,
    shard::{Owner, Shard, Waiter},
};
use crate::{CallSite, MAX_LISTED, MAX_LISTED_WAITERS, QueuedCaller, wait_queue::Waiters};

/// What can be seen of an [`AsyncLock`](crate::AsyncLock); each part of its keys at its own moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AsyncLockSnapshot {
    /// How many keys are locked.
    pub locked: usize,
    /// How many callers wait, for all keys together.
    pub waiting: usize,
    /// How often keys were locked so far.
    pub acquired: u64,
    /// How many waits timed out so far.
    pub timeouts: u64,
    /// The locked keys, at most [`MAX_LISTED`]: the one that is waited for the longest first, and
    /// of those that nobody waits for the one that is held the longest.
    pub keys: Vec<LockedKey>,
}

/// What can be seen of one locked key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LockedKey {
    /// The key as text, if the builder was told to
    /// [`show_keys`](crate::AsyncLockBuilder::show_keys).
    pub key: Option<String>,
    /// Where the holder called to lock the key.
    pub holder: CallSite,
    /// How long the holder has had it, in seconds where it is serialised; `None` if it was granted
    /// and is yet to be polled. Locking a free key reads no clock: its time counts from when
    /// somebody first waited or looked.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub held_for: Option<Duration>,
    /// How many callers wait for it.
    pub waiters: usize,
    /// How long the first of them has waited, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub longest_wait: Option<Duration>,
    /// The first of them, at most [`MAX_LISTED_WAITERS`].
    pub queue: Vec<QueuedCaller>,
}

impl LockedKey {
    pub(super) fn new(owner: &mut Owner, waiters: &Waiters<Waiter>, now: Instant) -> Self {
        let queue: Vec<_> = waiters
            .iter(&owner.queue)
            .take(MAX_LISTED_WAITERS)
            .map(|waiter| QueuedCaller {
                caller: CallSite::new(waiter.location),
                waited: now.saturating_duration_since(waiter.since),
            })
            .collect();
        Self {
            key: None,
            holder: CallSite::new(owner.location),
            held_for: owner.held_for(now),
            waiters: owner.queue.len(),
            longest_wait: queue.first().map(|first| first.waited),
            queue,
        }
    }
}

impl<K> Core<K> {
    pub(super) fn snapshot(&self) -> AsyncLockSnapshot {
        let now = self.clock.monotonic();
        let mut snapshot = AsyncLockSnapshot {
            locked: 0,
            waiting: 0,
            acquired: 0,
            timeouts: 0,
            keys: Vec::new(),
        };
        let mut listed = Vec::new();
        for mut shard in self.shards.iter() {
            snapshot.locked += shard.keys.len();
            snapshot.acquired += shard.acquired;
            snapshot.timeouts += shard.timeouts;
            for owner in shard.keys.values_mut() {
                snapshot.waiting += owner.queue.len();
            }
            let foremost = shard.foremost(now, self.show.is_some());
            drop(shard);
            listed.extend(foremost);
        }
        listed.sort_by_key(|(locked, _)| Reverse((locked.longest_wait, locked.held_for)));
        listed.truncate(MAX_LISTED);
        snapshot.keys = listed
            .into_iter()
            .map(|(locked, key)| LockedKey {
                key: self.show.zip(key).map(|(show, key)| show(&key)),
                ..locked
            })
            .collect();
        snapshot
    }
}

impl<K> Shard<K> {
    /// The keys that come first in a snapshot, in no order.
    fn foremost(&mut self, now: Instant, show_keys: bool) -> Vec<(LockedKey, Option<Arc<K>>)> {
        let Shard { keys, waiters, .. } = self;
        let mut ranked: Vec<_> = keys
            .iter_mut()
            .map(|(entry, owner)| {
                let first = owner.queue.front().and_then(|first| waiters.get(first));
                let waited = first.map(|first| now.saturating_duration_since(first.since));
                (Reverse((waited, owner.held_for(now))), entry)
            })
            .collect();
        if ranked.len() > MAX_LISTED {
            ranked.select_nth_unstable(MAX_LISTED);
            ranked.truncate(MAX_LISTED);
        }
        let listed = ranked.into_iter().filter_map(|(_, entry)| {
            let locked = LockedKey::new(keys.get_mut(entry)?, waiters, now);
            Some((locked, show_keys.then(|| keys.share_key(entry)).flatten()))
        });
        listed.collect()
    }
}

#[cfg(feature = "metrics")]
impl AsyncLockSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        vec![
            Gauge("steadfast_sync_locked", self.locked as f64),
            Gauge("steadfast_sync_waiting", self.waiting as f64),
            Total("steadfast_sync_acquired_total", self.acquired),
        ]
    }
}
