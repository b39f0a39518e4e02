use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::Clock;

use self::state::State;
use crate::{
    AcquireError, ConfigError, TryAcquireError,
    config::check_count,
    rt::{self, Mutex, MutexGuard},
};

mod acquire;
mod builder;
mod permit;
mod state;

pub use self::{
    builder::SemaphoreBuilder,
    permit::{OwnedPermit, Permit},
};

/// A number of permits that callers share, each taking as many as it needs.
///
/// # Guarantees
///
/// - Strict FIFO: a caller that needs many permits is not passed by callers that need few, and
///   [`try_acquire`](Self::try_acquire) never passes a waiter.
/// - Never more permits in use than the capacity, but for the debt that
///   [`set_capacity`](Self::set_capacity) leaves when it lowers it.
/// - Released permits belong to the next waiters before the release returns. A waiter that is
///   dropped gives up its place, or passes its permits on, in O(1).
/// - At most [`max_waiters`](SemaphoreBuilder::max_waiters) callers wait.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let semaphore = steadfast_sync::Semaphore::new(10)?;
/// let permit = semaphore.acquire(7).await?;
/// assert!(semaphore.try_acquire(4).is_err());
/// drop(permit);
/// assert_eq!(semaphore.available(), 10);
/// # Ok(()) }
/// ```
pub struct Semaphore {
    name: String,
    max_waiters: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Semaphore {
    /// A semaphore without a name, with the default bound on waiters and the machine's clock.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `capacity`.
    pub fn new(capacity: usize) -> Result<Self, ConfigError> {
        Self::builder(capacity).build()
    }

    /// Configures a semaphore.
    #[must_use]
    pub fn builder(capacity: usize) -> SemaphoreBuilder {
        SemaphoreBuilder::new(capacity)
    }

    fn from_parts(
        name: String,
        capacity: usize,
        max_waiters: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name,
            max_waiters,
            clock,
            state: Mutex::new(State::new(capacity)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        rt::lock(&self.state)
    }

    /// Acquires `permits`, in turn.
    ///
    /// # Errors
    ///
    /// At once [`AcquireError::ZeroPermits`], [`AcquireError::ExceedsCapacity`] and
    /// [`AcquireError::QueueFull`]; `ExceedsCapacity` also when the capacity is lowered below
    /// `permits` during the wait; [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped while it waits, it gives up its place, and the permits
    /// if they had just been granted; nothing stays behind.
    pub async fn acquire(&self, permits: usize) -> Result<Permit<'_>, AcquireError> {
        acquire::acquire(self, permits).await.map(Permit)
    }

    /// Acquires `permits`, in turn, and gives up after `timeout`. The timer is made only if it
    /// waits.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Timeout`], and those of [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_timeout(
        &self,
        permits: usize,
        timeout: Duration,
    ) -> Result<Permit<'_>, AcquireError> {
        let held = acquire::acquire_timeout(self, permits, timeout).await;
        held.map(Permit)
    }

    /// As [`acquire`](Self::acquire), with permits that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(
        self: &Arc<Self>,
        permits: usize,
    ) -> impl Future<Output = Result<OwnedPermit, AcquireError>> + use<> {
        let semaphore = Arc::clone(self);
        async move { acquire::acquire(semaphore, permits).await.map(OwnedPermit) }
    }

    /// Acquires `permits` that are free and that nobody waits for.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`], which says what stood in the way.
    pub fn try_acquire(&self, permits: usize) -> Result<Permit<'_>, TryAcquireError> {
        acquire::try_acquire(self, permits).map(Permit)
    }

    /// As [`try_acquire`](Self::try_acquire), with permits that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(
        self: &Arc<Self>,
        permits: usize,
    ) -> Result<OwnedPermit, TryAcquireError> {
        acquire::try_acquire(Arc::clone(self), permits).map(OwnedPermit)
    }

    /// Changes the capacity at once.
    ///
    /// A higher one serves waiters. A lower one takes nothing from anybody: nobody gets permits
    /// until releases have paid back the debt. Waiters that want more than the new capacity are
    /// refused.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] for `capacity`.
    pub fn set_capacity(&self, capacity: usize) -> Result<(), ConfigError> {
        check_count("capacity", capacity)?;
        let wakes = self.state().set_capacity(capacity);
        wakes.wake();
        Ok(())
    }

    /// Refuses all who wait and all who come later with `Closed`; permits in use stay so.
    pub fn close(&self) {
        let wakes = self.state().close();
        wakes.wake();
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many permits there are in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.state().capacity
    }

    /// How many permits are free.
    #[must_use]
    pub fn available(&self) -> usize {
        self.state().available()
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    /// How long the first waiter has waited.
    #[must_use]
    pub fn oldest_wait(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let state = self.state();
        let first = state.waiters.get(state.queue.front()?)?;
        Some(now.saturating_duration_since(first.since))
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Semaphore")
            .field("name", &self.name)
            .field("capacity", &state.capacity)
            .field("in_use", &state.in_use)
            .field("waiting", &state.queue.len())
            .field("tracked_waiters", &state.waiters.len())
            .finish_non_exhaustive()
    }
}
