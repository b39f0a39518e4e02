use std::{fmt, hash::Hash, panic::Location, sync::Arc, time::Duration};

use steadfast_clock::Instant;

use self::core::Core;
use super::{KeyedRateLimiterSnapshot, Quota};
use crate::{RateError, timeout::Patience};

mod builder;
mod core;
mod shard;

pub use self::builder::KeyedRateLimiterBuilder;

/// Lets through no more than a [`Quota`] allows for each key.
///
/// # Guarantees
///
/// - Each key behaves as a [`RateLimiter`](crate::RateLimiter) of its own.
/// - A key is forgotten only when its state equals that of a key never seen: everything spent is
///   earned back and nobody waits. Calls look at a few keys each and forget those that have been
///   idle for a second; [`sweep`](Self::sweep) looks at all and forgets every idle one, and so
///   does a watch of the [`Registry`](crate::Registry) if the limiter has a name.
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
    core: Arc<Core<K>>,
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
        let settings = builder.options.settings("keyed_rate_limiter");
        let core = Arc::new(Core::new(settings, builder.quota, builder.max_keys));
        Self { core }
    }

    /// How many keys are tracked; those that are idle and not yet swept are among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Whether no key is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all idle keys and says how many there were. It locks a part of them for a short
    /// while at a time, so others are not held up.
    pub fn sweep(&self) -> usize {
        self.core.sweep_all()
    }

    /// Changes the quota of all keys, tracked or not, as
    /// [`RateLimiter::set_quota`](crate::RateLimiter::set_quota) does.
    ///
    /// Keys follow one after the other, each at one moment, and all have when this returns. It
    /// looks at every key that is tracked, and locks some of them at a time: those of one shard,
    /// of which there are at least four per core.
    pub fn set_quota(&self, quota: Quota) {
        self.core.set_quota(quota);
    }

    /// The quota of each key.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.core.quota()
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.settings.name
    }

    /// All that can be seen of it.
    #[must_use]
    pub fn snapshot(&self) -> KeyedRateLimiterSnapshot {
        self.core.snapshot()
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
        let taken = self.core.take(key, units);
        taken.map_err(|error| self.core.settings.refuse(units, error))
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
        self.core.peek(key, units)
    }

    /// Takes `units` for a key, in turn, as soon as they are there.
    ///
    /// # Errors
    ///
    /// At once [`RateError::ZeroUnits`], [`RateError::ExceedsBurst`], [`RateError::QueueFull`]
    /// and [`RateError::TooManyKeys`]; `ExceedsBurst` also when the burst is lowered below
    /// `units` during the wait.
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped while it waits, it gives up its place and has taken
    /// nothing.
    #[track_caller]
    pub fn acquire(&self, key: &K, units: u32) -> impl Future<Output = Result<(), RateError>> {
        self.core.acquire(key, units, None, Location::caller())
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
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        key: &K,
        units: u32,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), RateError>> {
        let patience = Some(Patience::For(timeout));
        self.core.acquire(key, units, patience, Location::caller())
    }

    /// Takes `units` for a key, in turn, unless that takes until after `deadline`, which other
    /// primitives may share.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout). Units that are there are taken even after
    /// the deadline.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_until(
        &self,
        key: &K,
        units: u32,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), RateError>> {
        let patience = Some(Patience::Until(deadline));
        self.core.acquire(key, units, patience, Location::caller())
    }

    /// Gives back units of a key that were taken for something that was not done, as
    /// [`RateLimiter::refund`](crate::RateLimiter::refund) does.
    pub fn refund(&self, key: &K, units: u32) {
        self.core.refund(key, units);
    }

    /// How many callers wait for a key.
    #[must_use]
    pub fn waiting(&self, key: &K) -> usize {
        self.core.seen(key, |desk| desk.line.len())
    }

    /// How many units of a key could be taken at this moment, not counting those who wait.
    #[must_use]
    pub fn available(&self, key: &K) -> u32 {
        let now = self.core.settings.now();
        self.core.seen(key, |desk| desk.bucket.level(now))
    }
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimiter")
            .field("name", &self.name())
            .field("quota", &self.quota())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
