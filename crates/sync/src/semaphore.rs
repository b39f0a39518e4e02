use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::Clock;
use tracing::{trace, warn};

use self::state::State;
use crate::{
    AcquireError, ConfigError, PrimitiveState, Snapshot, TryAcquireError,
    config::check_count,
    meters::Meters,
    registry::Inspect,
    rt::{self, Mutex, MutexGuard},
};

mod acquire;
mod builder;
mod permit;
mod snapshot;
mod state;

pub use self::{
    builder::SemaphoreBuilder,
    permit::{OwnedPermit, Permit},
    snapshot::SemaphoreSnapshot,
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
    core: Arc<Core>,
}

/// What the semaphore, its owned permits and the registry share.
struct Core {
    name: String,
    max_waiters: usize,
    long_wait: Duration,
    clock: Arc<dyn Clock>,
    meters: Meters,
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
        acquire::acquire(&*self.core, permits).await.map(Permit)
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
        let held = acquire::acquire_timeout(&*self.core, permits, timeout).await;
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
        &self,
        permits: usize,
    ) -> impl Future<Output = Result<OwnedPermit, AcquireError>> + use<> {
        let core = Arc::clone(&self.core);
        async move { acquire::acquire(core, permits).await.map(OwnedPermit) }
    }

    /// Acquires `permits` that are free and that nobody waits for.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`], which says what stood in the way.
    pub fn try_acquire(&self, permits: usize) -> Result<Permit<'_>, TryAcquireError> {
        acquire::try_acquire(&*self.core, permits).map(Permit)
    }

    /// As [`try_acquire`](Self::try_acquire), with permits that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(&self, permits: usize) -> Result<OwnedPermit, TryAcquireError> {
        acquire::try_acquire(Arc::clone(&self.core), permits).map(OwnedPermit)
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
        let wakes = self.core.state().set_capacity(capacity);
        wakes.wake();
        Ok(())
    }

    /// Refuses all who wait and all who come later with `Closed`; permits in use stay so.
    pub fn close(&self) {
        let wakes = self.core.state().close();
        wakes.wake();
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// How many permits there are in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core.state().capacity
    }

    /// How many permits are free.
    #[must_use]
    pub fn available(&self) -> usize {
        self.core.state().available()
    }

    /// How many callers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.core.state().queue.len()
    }

    /// How long the first waiter has waited.
    #[must_use]
    pub fn oldest_wait(&self) -> Option<Duration> {
        self.snapshot().oldest_wait
    }

    /// All that can be seen of it, at one moment.
    #[must_use]
    pub fn snapshot(&self) -> SemaphoreSnapshot {
        self.core.snapshot()
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        rt::lock(&self.state)
    }

    fn snapshot(&self) -> SemaphoreSnapshot {
        let now = self.clock.monotonic();
        let state = self.state();
        let first = state
            .queue
            .front()
            .and_then(|first| state.waiters.get(first));
        SemaphoreSnapshot {
            capacity: state.capacity,
            in_use: state.in_use,
            waiting: state.queue.len(),
            oldest_wait: first.map(|first| now.saturating_duration_since(first.since)),
            acquired: state.acquired,
        }
    }

    /// Tells of a wait that ended with permits.
    fn report_wait(&self, waited: Duration, permits: usize) {
        let name = &self.name;
        if waited >= self.long_wait {
            warn!(name, permits, ?waited, "waited long for permits");
        } else {
            trace!(name, permits, ?waited, "permits acquired after a wait");
        }
        self.meters.waited(waited);
    }
}

impl Inspect for Core {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            state: PrimitiveState::Semaphore(self.snapshot()),
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.core.state();
        f.debug_struct("Semaphore")
            .field("name", &self.core.name)
            .field("capacity", &state.capacity)
            .field("in_use", &state.in_use)
            .field("waiting", &state.queue.len())
            .field("tracked_waiters", &state.waiters.len())
            .finish_non_exhaustive()
    }
}
