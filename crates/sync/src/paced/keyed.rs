use std::{fmt, hash::Hash, marker::PhantomData, sync::Arc, time::Duration};

use super::{
    PacedBuilder, PacedSnapshot, Pacing, close,
    core::Core,
    drive::{Driver, drive},
};
use crate::{CloseError, ConfigError, DriveError, PaceError};

/// Runs the calls of each key with pauses between them: a
/// [`KeyedDebounce`](crate::KeyedDebounce) or a [`KeyedThrottle`](crate::KeyedThrottle).
///
/// # Guarantees
///
/// - Each key behaves as a [`Paced`](crate::Paced) of its own: it has its own window, and its runs
///   never overlap.
/// - Runs of different keys run side by side in one driver, at most
///   [`max_concurrency`](PacedBuilder::max_concurrency) of them. Further ones start in the order
///   in which they became due.
/// - A key takes memory while it has a window, a pending call or a run. The driver forgets it
///   then; while nobody drives, calls and the registry's watch do.
/// - At most [`max_keys`](PacedBuilder::max_keys) keys are remembered; a call for a further one is
///   refused.
/// - There is one timer, for the first of all keys. A call that opens a window and a run cost
///   O(log n) for n keys, a call in an open window O(1), the wake-up of a run O(1).
pub struct KeyedPaced<K, T, P> {
    pub(super) core: Arc<Core<K, T>>,
    pub(super) pacing: PhantomData<fn() -> P>,
}

impl<K, T, P: Pacing> KeyedPaced<K, T, P> {
    /// One with defaults and without a name; see [`Paced::new`](crate::Paced::new).
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for the duration, which is called
    /// `wait` for a debounce and `interval` for a throttle.
    pub fn new(window: Duration) -> Result<Self, ConfigError>
    where
        K: Send + Sync + 'static,
        T: Send + 'static,
    {
        Self::builder(window).build()
    }

    /// Configures one.
    #[must_use]
    pub fn builder(window: Duration) -> PacedBuilder<Self> {
        PacedBuilder::new(window)
    }
}

impl<K: Eq + Hash, T, P> KeyedPaced<K, T, P> {
    /// Asks for a run of a key with this value.
    ///
    /// # Errors
    ///
    /// [`PaceError::TooManyKeys`] if the key is new and there are as many as allowed;
    /// [`PaceError::Closed`] once [`close`](Self::close) was called. The value is dropped.
    ///
    /// # Panics
    ///
    /// Where the [fold](PacedBuilder::fold) does. What it was given is lost, nothing else.
    pub fn call(&self, key: K, value: T) -> Result<(), PaceError> {
        self.core.call(key, value)
    }

    /// Drops what is not being run yet of a key, and ends its window.
    pub fn cancel(&self, key: &K) {
        self.core.cancel(key);
    }

    /// Makes what is held back of a key due now; without effect if nothing is.
    pub fn flush(&self, key: &K) {
        self.core.flush(key);
    }

    /// Whether a call of a key waits to be run.
    #[must_use]
    pub fn is_pending(&self, key: &K) -> bool {
        self.core.is_pending(key)
    }
}

impl<K, T, P> KeyedPaced<K, T, P> {
    /// [Cancels](Self::cancel) all keys, some at a time, so that others are not held up for long.
    /// Calls made meanwhile may stay.
    pub fn cancel_all(&self) {
        self.core.cancel_all();
    }

    /// [Flushes](Self::flush) all keys, some at a time, so that others are not held up for long.
    /// Calls made meanwhile may stay held back.
    pub fn flush_all(&self) {
        self.core.flush_all();
    }

    /// How many keys have a window, a pending call or a run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.state().keys.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Runs the calls when they are due, until the instance is [closed](Self::close) and what was
    /// pending has been run.
    ///
    /// The runs are polled by this future, and so on one thread at a time. A panic of a run
    /// becomes a `tracing` event of level warn.
    ///
    /// # Errors
    ///
    /// [`DriveError::AlreadyDriven`] while there is another driver.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time driver.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it drops the runs in progress, whose values are lost;
    /// what is pending stays for the next driver.
    pub async fn drive<F, Fut>(&self, run: F) -> Result<(), DriveError>
    where
        K: Clone + Send + Sync,
        T: Send,
        F: FnMut(K, T) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        let driver = Driver::enter(&*self.core)?;
        drive(driver, run).await;
        Ok(())
    }

    /// Refuses further calls, makes what is pending due now, and waits until it has been run.
    ///
    /// It waits as long as the runs take; wrap it in a timeout if those have none.
    ///
    /// # Errors
    ///
    /// [`CloseError::NotDriven`] if something is pending and nobody drives, or the driver is
    /// dropped meanwhile. It stays closed, and pending until [driven](Self::drive) or
    /// [cancelled](Self::cancel_all).
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled; from then on it is closed, also if this is dropped.
    pub async fn close(&self) -> Result<(), CloseError>
    where
        K: Send + Sync,
        T: Send,
    {
        close::close(&self.core).await
    }

    /// The name given to [`PacedBuilder::name`], empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// All that can be seen of it, at one moment.
    #[must_use]
    pub fn snapshot(&self) -> PacedSnapshot {
        self.core.snapshot()
    }
}

impl<K, T, P> fmt::Debug for KeyedPaced<K, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
