use std::{fmt, future::Future, hash::Hash, panic::Location, sync::Arc, time::Duration};

use steadfast_clock::Instant;

use self::{core::Core, shard::Shard};
use crate::{LockError, TryLockError, timeout::Patience};

mod acquire;
mod builder;
mod core;
mod guard;
mod shard;
mod snapshot;

pub use self::{
    builder::AsyncLockBuilder,
    guard::{LockGuard, LockManyGuard, OwnedLockGuard},
    snapshot::{AsyncLockSnapshot, LockedKey},
};

/// Mutual exclusion per key: at most one guard per key at any time, different keys independent.
///
/// # Guarantees
///
/// - Strict FIFO per key: whoever was polled first is served first, and [`try_lock`](Self::try_lock)
///   never passes a waiter.
/// - A key takes memory exactly while it is held or waited for.
/// - A guard cannot be released twice and is released on unwind; there is no poisoning.
/// - A released key belongs to the next waiter before the release returns. A waiter that is
///   dropped gives up its place, or passes the key on if it had been granted, in O(1).
/// - At most [`max_waiters`](AsyncLockBuilder::max_waiters) callers wait for one key.
///
/// A task that locks a key which it holds already waits for itself: give
/// [`lock_many`](Self::lock_many) all keys at once, or use [`lock_timeout`](Self::lock_timeout).
/// A future that was granted the key and is not polled, such as one parked in a `select!` loop,
/// keeps it from the others until it is polled or dropped. That is reported, and may be undone, see
/// [`grace`](AsyncLockBuilder::grace) and [`revoke_unclaimed`](AsyncLockBuilder::revoke_unclaimed).
/// Nothing helps against a parked future that has its guard already: do not stop polling a future
/// that locks ([Oxide RFD 609](https://rfd.shared.oxide.computer/rfd/0609)).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), steadfast_sync::LockError> {
/// let lock = steadfast_sync::AsyncLock::new();
/// let guard = lock.lock("user-1").await?;
/// assert!(lock.try_lock("user-1").is_err());
/// assert!(lock.try_lock("user-2").is_ok());
/// drop(guard);
/// assert!(!lock.is_locked(&"user-1"));
/// # Ok(()) }
/// ```
pub struct AsyncLock<K> {
    core: Arc<Core<K>>,
}

impl<K> AsyncLock<K> {
    /// A lock without a name, with the default bound on waiters and the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self {
            core: Arc::new(Core::new(Self::builder())),
        }
    }

    /// Configures a lock.
    #[must_use]
    pub fn builder() -> AsyncLockBuilder<K> {
        AsyncLockBuilder::new()
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Refuses all who wait and all who come later with `Closed`; holders keep their keys.
    pub fn close(&self) {
        for mut shard in self.core.shards.iter() {
            let wakes = shard.close();
            drop(shard);
            wakes.wake();
        }
    }

    /// All that can be seen of it. It takes time in proportion to the locked keys, and holds up
    /// the users of a part of them at a time.
    #[must_use]
    pub fn snapshot(&self) -> AsyncLockSnapshot {
        self.core.snapshot()
    }
}

impl<K: Eq + Hash + Send + Sync> AsyncLock<K> {
    /// Locks a key, in turn.
    ///
    /// # Errors
    ///
    /// [`LockError::QueueFull`] at once if too many wait, [`LockError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped while it waits, it gives up its place, and the key if
    /// that had just been granted; nothing stays behind.
    #[track_caller]
    pub fn lock(&self, key: K) -> impl Future<Output = Result<LockGuard<'_, K>, LockError>> {
        let caller = Location::caller();
        async move {
            acquire::acquire(&*self.core, key, caller)
                .await
                .map(LockGuard)
        }
    }

    /// Locks a key, in turn, and gives up after `timeout`. The timer is made only if it waits.
    ///
    /// # Errors
    ///
    /// [`LockError::Timeout`], and those of [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_timeout(
        &self,
        key: K,
        timeout: Duration,
    ) -> impl Future<Output = Result<LockGuard<'_, K>, LockError>> {
        let caller = Location::caller();
        async move {
            let patience = Patience::For(timeout);
            let held = acquire::acquire_within(&*self.core, key, patience, caller).await;
            held.map(LockGuard)
        }
    }

    /// Locks a key, in turn, and gives up at `deadline`, which other calls may share. A key that
    /// is free is locked also after it.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Panics
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_until(
        &self,
        key: K,
        deadline: Instant,
    ) -> impl Future<Output = Result<LockGuard<'_, K>, LockError>> {
        let caller = Location::caller();
        async move {
            let patience = Patience::Until(deadline);
            let held = acquire::acquire_within(&*self.core, key, patience, caller).await;
            held.map(LockGuard)
        }
    }

    /// Locks a key that nobody holds or waits for.
    ///
    /// # Errors
    ///
    /// [`TryLockError::Locked`], [`TryLockError::Closed`].
    #[track_caller]
    pub fn try_lock(&self, key: K) -> Result<LockGuard<'_, K>, TryLockError> {
        acquire::try_acquire(&*self.core, key, Location::caller()).map(LockGuard)
    }

    /// As [`lock`](Self::lock), with a guard that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_owned(
        &self,
        key: K,
    ) -> impl Future<Output = Result<OwnedLockGuard<K>, LockError>> + use<K> {
        let (core, caller) = (Arc::clone(&self.core), Location::caller());
        async move {
            let held = acquire::acquire(core, key, caller).await;
            held.map(OwnedLockGuard)
        }
    }

    /// As [`lock_until`](Self::lock_until), with a guard that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Panics
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_owned_until(
        &self,
        key: K,
        deadline: Instant,
    ) -> impl Future<Output = Result<OwnedLockGuard<K>, LockError>> + use<K> {
        let (core, caller) = (Arc::clone(&self.core), Location::caller());
        async move {
            let patience = Patience::Until(deadline);
            let held = acquire::acquire_within(core, key, patience, caller).await;
            held.map(OwnedLockGuard)
        }
    }

    /// Locks several keys, sorted and without duplicates, so that callers with overlapping keys
    /// never wait for each other in a circle. It waits for one key after the other.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), for the first key that cannot be locked; the others are released.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock); keys that were locked already are released.
    #[track_caller]
    pub fn lock_many(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> impl Future<Output = Result<LockManyGuard<'_, K>, LockError>>
    where
        K: Ord,
    {
        let caller = Location::caller();
        let keys: Vec<K> = keys.into_iter().collect();
        async move {
            let keys = in_order(keys);
            let mut guards = LockManyGuard::with_capacity(keys.len());
            for key in keys {
                let held = acquire::acquire(&*self.core, key, caller).await?;
                guards.push(LockGuard(held));
            }
            Ok(guards)
        }
    }

    /// As [`lock_many`](Self::lock_many), and gives up at `deadline`, which other calls may share.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout), for the first key that cannot be locked; the
    /// others are released.
    ///
    /// # Panics
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Cancel safety
    ///
    /// As [`lock_many`](Self::lock_many).
    #[track_caller]
    pub fn lock_many_until(
        &self,
        keys: impl IntoIterator<Item = K>,
        deadline: Instant,
    ) -> impl Future<Output = Result<LockManyGuard<'_, K>, LockError>>
    where
        K: Ord,
    {
        let caller = Location::caller();
        let keys: Vec<K> = keys.into_iter().collect();
        async move {
            let keys = in_order(keys);
            let mut guards = LockManyGuard::with_capacity(keys.len());
            for key in keys {
                let patience = Patience::Until(deadline);
                let held = acquire::acquire_within(&*self.core, key, patience, caller).await?;
                guards.push(LockGuard(held));
            }
            Ok(guards)
        }
    }

    /// Runs a future while the key is held; it is not polled before.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock); the future is dropped before the key is released.
    #[track_caller]
    pub fn with_lock<F: Future>(
        &self,
        key: K,
        future: F,
    ) -> impl Future<Output = Result<F::Output, LockError>> {
        let caller = Location::caller();
        async move {
            let _held = acquire::acquire(&*self.core, key, caller).await?;
            let future = future;
            Ok(future.await)
        }
    }

    /// Whether somebody holds the key, or was granted it.
    #[must_use]
    pub fn is_locked(&self, key: &K) -> bool {
        self.inspect(key).is_some()
    }

    /// How many callers wait for the key.
    #[must_use]
    pub fn waiters(&self, key: &K) -> usize {
        self.inspect(key).map_or(0, |locked| locked.waiters)
    }

    /// Who holds the key since when, and who waits; `None` if it is free.
    #[must_use]
    pub fn inspect(&self, key: &K) -> Option<LockedKey> {
        let core = &*self.core;
        let hash = core.shards.hash(key);
        let now = core.clock.monotonic();
        let locked = {
            let mut shard = core.shards.lock(core.shards.index(hash));
            let Shard { keys, waiters, .. } = &mut *shard;
            let entry = keys.find(hash, key)?;
            LockedKey::new(keys.get_mut(entry)?, waiters, now)
        };
        let key = core.show.map(|show| show(key));
        Some(LockedKey { key, ..locked })
    }

    /// The keys that are locked, in no order. Each shard is read at its own moment.
    #[must_use]
    pub fn locked_keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        let mut keys = Vec::new();
        for mut shard in self.core.shards.iter() {
            let shared = shard.keys.share_keys();
            drop(shard);
            keys.extend(shared.iter().map(|key| K::clone(key)));
        }
        keys
    }
}

/// Sorted, without duplicates.
fn in_order<K: Ord>(mut keys: Vec<K>) -> Vec<K> {
    keys.sort();
    keys.dedup();
    keys
}

impl<K> Default for AsyncLock<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for AsyncLock<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut locked, mut waiters) = (0, 0);
        for shard in self.core.shards.iter() {
            locked += shard.keys.len();
            waiters += shard.waiters.len();
        }
        f.debug_struct("AsyncLock")
            .field("name", &self.core.name)
            .field("locked", &locked)
            .field("waiters", &waiters)
            .finish_non_exhaustive()
    }
}
