use std::{
    fmt,
    future::poll_fn,
    hash::Hash,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use steadfast_clock::{Clock, Instant};
use tracing::trace;

use self::shard::{Found, Shard, Wait};
use super::{
    Quota,
    gcra::{check_units, nanos_since},
};
use crate::{
    RateError,
    key_table::Shards,
    rt::{
        self,
        atomic::{AtomicUsize, Ordering},
    },
    timeout::current_waker,
};

mod builder;
mod shard;

pub use self::builder::KeyedRateLimiterBuilder;

/// How long each call leaves idle keys alone, so that a key in steady use is not forgotten and
/// tracked anew all the time: one second, in nanoseconds.
const KEEP_IDLE: u64 = 1_000_000_000;

/// How many keys a call looks at, to find those that are idle.
const LOOKS: usize = 2;

/// How many keys at a time [`KeyedRateLimiter::sweep`] looks at.
const SWEEP_LOOKS: usize = 256;

/// Lets through no more than a [`Quota`] allows for each key.
///
/// # Guarantees
///
/// - Each key behaves as a [`RateLimiter`](crate::RateLimiter) of its own.
/// - A key is forgotten only when its state equals that of a key never seen: everything spent is
///   earned back and nobody waits. Each call looks at two keys and forgets those that have been
///   idle for a second; [`sweep`](Self::sweep) looks at all and forgets every idle one.
/// - At most [`max_keys`](KeyedRateLimiterBuilder::max_keys) keys are tracked; a further one is
///   refused, not let through.
///
/// # Examples
///
/// ```
/// use steadfast_sync::{KeyedRateLimiter, Quota};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = KeyedRateLimiter::new(Quota::per_minute(1)?);
/// limiter.try_acquire(&"alice", 1)?;
/// assert!(limiter.try_acquire(&"alice", 1).is_err());
/// assert!(limiter.try_acquire(&"bob", 1).is_ok());
/// # Ok(()) }
/// ```
pub struct KeyedRateLimiter<K> {
    name: String,
    quota: Quota,
    max_waiters: usize,
    max_keys: usize,
    clock: Arc<dyn Clock>,
    origin: Instant,
    /// How many keys the shards hold together.
    len: AtomicUsize,
    shards: Shards<Shard<K>>,
}

impl<K> KeyedRateLimiter<K> {
    /// A limiter without a name, with the default bounds and the machine's clock.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::from_builder(Self::builder(quota))
    }

    /// Configures a limiter.
    #[must_use]
    pub fn builder(quota: Quota) -> KeyedRateLimiterBuilder<K> {
        KeyedRateLimiterBuilder::new(quota)
    }

    fn from_builder(builder: KeyedRateLimiterBuilder<K>) -> Self {
        Self {
            name: builder.name,
            quota: builder.quota,
            max_waiters: builder.max_waiters,
            max_keys: builder.max_keys,
            origin: builder.clock.monotonic(),
            clock: builder.clock,
            len: AtomicUsize::new(0),
            shards: Shards::new(Shard::new),
        }
    }

    /// How many keys are tracked; those that are idle and not yet swept are among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether no key is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all idle keys and says how many there were. It locks a shard for a short while at
    /// a time, so others are not held up.
    pub fn sweep(&self) -> usize {
        let now = self.now();
        let mut swept = 0;
        for index in 0..self.shards.len() {
            let slots = self.shards.lock(index).keys.slots();
            for _ in 0..slots.div_ceil(SWEEP_LOOKS) {
                let mut shard = self.shards.lock(index);
                let idle = shard.sweep(now, SWEEP_LOOKS);
                self.forget(idle.len());
                drop(shard);
                swept += idle.len();
            }
        }
        swept
    }

    /// The quota of each key.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn now(&self) -> u64 {
        nanos_since(self.origin, self.clock.monotonic())
    }

    fn forget(&self, keys: usize) {
        if keys > 0 {
            self.len.fetch_sub(keys, Ordering::Relaxed);
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
}

impl<K: Eq + Hash + Clone + Send + Sync> KeyedRateLimiter<K> {
    /// Takes `units` for a key if they are there and nobody waits for them.
    ///
    /// # Errors
    ///
    /// [`RateError::Denied`] with the time after which they would be there,
    /// [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`], [`RateError::TooManyKeys`].
    pub fn try_acquire(&self, key: &K, units: u32) -> Result<(), RateError> {
        check_units(&self.quota, units)?;
        match self.spend(key, units)? {
            None => Ok(()),
            Some(retry_after) => {
                trace!(name = self.name, units, ?retry_after, "denied");
                Err(RateError::Denied { retry_after })
            }
        }
    }

    /// Says what [`try_acquire`](Self::try_acquire) would say now, and takes nothing.
    ///
    /// For what is charged only afterwards, such as an attempt that has failed. Others may take
    /// the units in between.
    ///
    /// # Errors
    ///
    /// [`RateError::Denied`], [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`].
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_sync::{KeyedRateLimiter, Quota};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let failures = KeyedRateLimiter::new(Quota::per_minute(1)?);
    /// failures.peek(&"alice", 1)?;
    /// failures.peek(&"alice", 1)?;
    /// failures.try_acquire(&"alice", 1)?;
    /// assert!(failures.peek(&"alice", 1).is_err());
    /// # Ok(()) }
    /// ```
    pub fn peek(&self, key: &K, units: u32) -> Result<(), RateError> {
        check_units(&self.quota, units)?;
        let hash = self.shards.hash(key);
        let now = self.now();
        let shard = self.shards.lock(self.shards.index(hash));
        match shard.peek(&self.quota, hash, key, now, units) {
            None => Ok(()),
            Some(retry_after) => Err(RateError::Denied { retry_after }),
        }
    }

    /// Takes `units` for a key, in turn, as soon as they are there.
    ///
    /// # Errors
    ///
    /// At once [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`], [`RateError::QueueFull`]
    /// and [`RateError::TooManyKeys`].
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped while it waits, it gives up its place and has taken
    /// nothing.
    pub async fn acquire(&self, key: &K, units: u32) -> Result<(), RateError> {
        check_units(&self.quota, units)?;
        let place = loop {
            if self.spend(key, units)?.is_none() {
                return Ok(());
            }
            let waker = current_waker().await;
            if let Some(place) = self.enqueue(key, units, waker)? {
                break place;
            }
        };
        poll_fn(|cx| place.poll_first(cx)).await;
        while let Err(wait) = place.spend(units) {
            rt::sleep(wait).await;
        }
        trace!(name = self.name, units, "let through after a wait");
        Ok(())
    }

    /// Takes `units` for a key, in turn, unless that takes longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RateError::WouldExceed`], at once if the wait as foreseen is too long; and those of
    /// [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_timeout(
        &self,
        key: &K,
        units: u32,
        timeout: Duration,
    ) -> Result<(), RateError> {
        check_units(&self.quota, units)?;
        let wait = self.foreseen_wait(key, units);
        if wait > timeout {
            return Err(RateError::WouldExceed { wait, timeout });
        }
        let outcome = {
            let acquire = pin!(self.acquire(key, units));
            crate::timeout::timeout(timeout, acquire).await
        };
        outcome.unwrap_or_else(|| {
            // Longer than foreseen, because somebody ahead is not polled.
            let wait = timeout.saturating_add(self.foreseen_wait(key, units));
            Err(RateError::WouldExceed { wait, timeout })
        })
    }

    /// How many callers wait for a key.
    #[must_use]
    pub fn waiting(&self, key: &K) -> usize {
        let hash = self.shards.hash(key);
        let shard = self.shards.lock(self.shards.index(hash));
        let entry = shard.keys.find(hash, key);
        let usage = entry.and_then(|entry| shard.keys.get(entry));
        usage.map_or(0, |usage| usage.queue.len())
    }

    fn foreseen_wait(&self, key: &K, units: u32) -> Duration {
        let hash = self.shards.hash(key);
        let now = self.now();
        let shard = self.shards.lock(self.shards.index(hash));
        let entry = shard.keys.find(hash, key);
        entry.map_or(Duration::ZERO, |entry| {
            shard.foresee(&self.quota, entry, now, units)
        })
    }

    /// Takes units if they are there and nobody waits; else says how long that will take.
    fn spend(&self, key: &K, units: u32) -> Result<Option<Duration>, RateError> {
        let hash = self.shards.hash(key);
        let index = self.shards.index(hash);
        let now = self.now();
        let mut new_key = None;
        loop {
            // Declared first, so that a key's `Eq` that panics has it dropped after the mutex.
            let idle;
            let mut shard = self.shards.lock(index);
            idle = shard.sweep(now.saturating_sub(KEEP_IDLE), LOOKS);
            self.forget(idle.len());
            let outcome = match shard.spend(&self.quota, hash, key, now, units) {
                Found::Spent => Some(Ok(None)),
                Found::Short(entry) => {
                    let wait = shard.foresee(&self.quota, entry, now, units);
                    Some(Ok(Some(wait)))
                }
                Found::Unknown if new_key.is_none() => None,
                Found::Unknown => Some(self.reserve().map(|()| {
                    if let Some(key) = new_key.take() {
                        shard.insert(&self.quota, hash, key, now, units);
                    }
                    None
                })),
            };
            drop(shard);
            drop(idle);
            if let Some(outcome) = outcome {
                return outcome;
            }
            // The key is cloned where no mutex is held.
            new_key = Some(key.clone());
        }
    }

    /// Takes a place in the key's line, unless the key was forgotten in the meantime.
    fn enqueue(
        &self,
        key: &K,
        units: u32,
        waker: Waker,
    ) -> Result<Option<Place<'_, K>>, RateError> {
        let max_waiters = self.max_waiters;
        let hash = self.shards.hash(key);
        let index = self.shards.index(hash);
        let mut shard = self.shards.lock(index);
        let Some(entry) = shard.keys.find(hash, key) else {
            drop(shard);
            return Ok(None);
        };
        let waiter = shard.enqueue(Wait { entry, units }, waker, max_waiters);
        drop(shard);
        match waiter {
            Ok(waiter) => Ok(Some(Place {
                limiter: self,
                shard: index,
                entry,
                waiter,
            })),
            Err(_waker) => Err(RateError::QueueFull { max_waiters }),
        }
    }
}

/// A place in a key's line. Dropping it lets the next one move up.
struct Place<'a, K> {
    limiter: &'a KeyedRateLimiter<K>,
    shard: usize,
    entry: usize,
    waiter: usize,
}

impl<K> Place<'_, K> {
    fn poll_first(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut shard = self.limiter.shards.lock(self.shard);
        let is_first = shard.is_first(self.entry, self.waiter);
        let unused = if is_first {
            Some(waker)
        } else {
            shard.waiters.set_waker(self.waiter, waker)
        };
        drop(shard);
        drop(unused);
        if is_first {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn spend(&self, units: u32) -> Result<(), Duration> {
        let now = self.limiter.now();
        let mut shard = self.limiter.shards.lock(self.shard);
        shard.spend_first(&self.limiter.quota, self.entry, now, units)
    }
}

impl<K> Drop for Place<'_, K> {
    fn drop(&mut self) {
        let mut shard = self.limiter.shards.lock(self.shard);
        let (wake, unused) = shard.leave(self.entry, self.waiter);
        drop(shard);
        if let Some(waker) = wake {
            waker.wake();
        }
        drop(unused);
    }
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimiter")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
