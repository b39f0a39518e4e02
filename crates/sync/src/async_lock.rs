use std::{fmt, future::Future, hash::Hash, panic::Location, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use self::shard::Shard;
use crate::{CallSite, LockError, TryLockError, config::DEFAULT_MAX_WAITERS, key_table::Shards};

mod acquire;
mod builder;
mod guard;
mod shard;

pub use self::{
    builder::AsyncLockBuilder,
    guard::{LockGuard, LockManyGuard, OwnedLockGuard},
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
/// A future that was granted the key and is not polled (parked in a `select!` loop) keeps it from
/// the others until it is polled or dropped (Oxide RFD 609).
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
    name: String,
    max_waiters: usize,
    clock: Arc<dyn Clock>,
    shards: Shards<Shard<K>>,
}

/// What can be seen of one locked key.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LockedKey {
    /// Where the holder called to lock the key.
    pub holder: CallSite,
    /// How long the holder has had it; `None` if it was granted and is yet to be polled. Locking a
    /// free key reads no clock: its time counts from when somebody first waited or looked.
    pub held_for: Option<Duration>,
    /// How many callers wait for it.
    pub waiters: usize,
    /// How long the first of them has waited.
    pub longest_wait: Option<Duration>,
}

impl<K> AsyncLock<K> {
    /// A lock without a name, with the default bound on waiters and the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(String::new(), DEFAULT_MAX_WAITERS, Arc::new(SystemClock))
    }

    /// Configures a lock.
    #[must_use]
    pub fn builder() -> AsyncLockBuilder<K> {
        AsyncLockBuilder::new()
    }

    fn from_parts(name: String, max_waiters: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            name,
            max_waiters,
            clock,
            shards: Shards::new(Shard::new),
        }
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Refuses all who wait and all who come later with `Closed`; holders keep their keys.
    pub fn close(&self) {
        for mut shard in self.shards.iter() {
            let wakes = shard.close();
            drop(shard);
            wakes.wake();
        }
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
        async move { acquire::acquire(self, key, caller).await.map(LockGuard) }
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
            let held = acquire::acquire_timeout(self, key, timeout, caller).await;
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
        acquire::try_acquire(self, key, Location::caller()).map(LockGuard)
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
        self: &Arc<Self>,
        key: K,
    ) -> impl Future<Output = Result<OwnedLockGuard<K>, LockError>> + use<K> {
        let (lock, caller) = (Arc::clone(self), Location::caller());
        async move {
            acquire::acquire(lock, key, caller)
                .await
                .map(OwnedLockGuard)
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
        let mut keys: Vec<K> = keys.into_iter().collect();
        async move {
            keys.sort();
            keys.dedup();
            let mut guards = LockManyGuard::with_capacity(keys.len());
            for key in keys {
                let held = acquire::acquire(self, key, caller).await?;
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
            let _held = acquire::acquire(self, key, caller).await?;
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
        let hash = self.shards.hash(key);
        let now = self.clock.monotonic();
        let mut shard = self.shards.lock(self.shards.index(hash));
        let Shard { keys, waiters, .. } = &mut *shard;
        let owner = keys.get_mut(keys.find(hash, key)?)?;
        let first = owner.queue.front().and_then(|first| waiters.get(first));
        Some(LockedKey {
            holder: CallSite::new(owner.location),
            held_for: owner.held_for(now),
            waiters: owner.queue.len(),
            longest_wait: first.map(|first| now.saturating_duration_since(first.since)),
        })
    }

    /// The keys that are locked, in no order. Each shard is read at its own moment.
    #[must_use]
    pub fn locked_keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        let mut keys = Vec::new();
        for mut shard in self.shards.iter() {
            let shared = shard.keys.share_keys();
            drop(shard);
            keys.extend(shared.iter().map(|key| K::clone(key)));
        }
        keys
    }
}

impl<K> Default for AsyncLock<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for AsyncLock<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut locked, mut waiters) = (0, 0);
        for shard in self.shards.iter() {
            locked += shard.keys.len();
            waiters += shard.waiters.len();
        }
        f.debug_struct("AsyncLock")
            .field("name", &self.name)
            .field("locked", &locked)
            .field("waiters", &waiters)
            .finish_non_exhaustive()
    }
}
