use std::{fmt, ops::Deref, sync::Arc};

use tracing::trace;

use super::core::Core;
use crate::overdue::Timing;

/// Exclusive use of one key; dropping it lets the next waiter in.
#[must_use = "the key is released as soon as the guard is dropped"]
pub struct LockGuard<'a, K>(
    #[expect(dead_code, reason = "held for its drop")] pub(super) Held<&'a Core<K>, K>,
);

/// A [`LockGuard`] that keeps its lock alive, so that it can be moved into a task.
#[must_use = "the key is released as soon as the guard is dropped"]
pub struct OwnedLockGuard<K>(
    #[expect(dead_code, reason = "held for its drop")] pub(super) Held<Arc<Core<K>>, K>,
);

/// Exclusive use of several keys; dropping it releases them in the reverse order of locking.
#[must_use = "the keys are released as soon as the guard is dropped"]
pub struct LockManyGuard<'a, K> {
    guards: Vec<LockGuard<'a, K>>,
}

impl<'a, K> LockManyGuard<'a, K> {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self {
            guards: Vec::with_capacity(keys),
        }
    }

    pub(super) fn push(&mut self, guard: LockGuard<'a, K>) {
        self.guards.push(guard);
    }

    /// How many different keys are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.guards.len()
    }

    /// Whether no key is held, because none was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }
}

impl<K> Drop for LockManyGuard<'_, K> {
    fn drop(&mut self) {
        while self.guards.pop().is_some() {}
    }
}

/// The ownership of one entry, through a reference or an `Arc`.
pub(super) struct Held<R, K>
where
    R: Deref<Target = Core<K>>,
{
    core: R,
    shard: usize,
    entry: usize,
    timing: Timing,
}

impl<R, K> Held<R, K>
where
    R: Deref<Target = Core<K>>,
{
    pub(super) fn new(core: R, shard: usize, entry: usize, timing: Timing) -> Self {
        Self {
            core,
            shard,
            entry,
            timing,
        }
    }

    pub(super) fn core(&self) -> &Core<K> {
        &self.core
    }
}

impl<R, K> Drop for Held<R, K>
where
    R: Deref<Target = Core<K>>,
{
    fn drop(&mut self) {
        let core = &*self.core;
        let key = if self.timing.is_measured() {
            None
        } else {
            core.shards.lock(self.shard).release_unmeasured(self.entry)
        };
        if key.is_none() {
            core.release(self.shard, self.entry);
        }
        drop(key);
        trace!(name = core.name, "lock released");
    }
}

impl<K> fmt::Debug for LockGuard<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for OwnedLockGuard<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLockGuard").finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for LockManyGuard<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockManyGuard")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
