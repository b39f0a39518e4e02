use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::Clock;
use tracing::trace;

use super::{builder::AsyncLockBuilder, shard::Shard};
use crate::{
    PrimitiveState, Snapshot,
    key_table::Shards,
    meters::Meters,
    overdue::{Overdue, Thresholds},
    registry::Inspect,
};

/// What the lock, its owned guards and the registry share.
pub(super) struct Core<K> {
    pub(super) name: String,
    pub(super) max_waiters: usize,
    pub(super) thresholds: Thresholds,
    /// How a key is shown, if it may be.
    pub(super) show: Option<fn(&K) -> String>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meters: Meters,
    pub(super) shards: Shards<Shard<K>>,
}

impl<K> Core<K> {
    pub(super) fn new(configured: AsyncLockBuilder<K>) -> Self {
        Self {
            meters: Meters::new("async_lock", &configured.name),
            name: configured.name,
            max_waiters: configured.max_waiters,
            thresholds: configured.thresholds,
            show: configured.show,
            clock: configured.clock,
            shards: Shards::new(Shard::new),
        }
    }

    /// Ends an ownership that is measured.
    #[inline(never)]
    pub(super) fn release(&self, shard: usize, entry: usize) {
        let now = self.clock.monotonic();
        let long_hold = self.thresholds.long_hold;
        let leftovers = self.shards.lock(shard).release(entry, now, long_hold);
        if let Some(overdue) = leftovers.dispose() {
            self.report(overdue, None);
        }
    }

    /// Tells of a wait that ended with the key.
    pub(super) fn report_wait(&self, waited: Duration, overdue: Option<Overdue>) {
        match overdue {
            Some(overdue) => self.report(overdue, None),
            None => trace!(name = self.name, ?waited, "lock acquired after a wait"),
        }
        self.meters.waited(waited);
    }

    /// Tells of what takes too long.
    pub(super) fn report(&self, overdue: Overdue, key: Option<&K>) {
        let key = self.show.zip(key).map(|(show, key)| show(key));
        let key = key.as_ref().map(|key| key as &dyn fmt::Display);
        overdue.report(&self.name, key, &self.meters);
    }
}

impl<K: Send + Sync> Inspect for Core<K> {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            state: PrimitiveState::AsyncLock(self.snapshot()),
        }
    }

    fn look(&self) {
        let now = self.clock.monotonic();
        for mut shard in self.shards.iter() {
            let seen = shard.look(now, &self.thresholds, self.show.is_some());
            drop(shard);
            seen.wakes.wake();
            for (overdue, key) in seen.reports {
                self.report(overdue, key.as_deref());
            }
        }
    }
}
