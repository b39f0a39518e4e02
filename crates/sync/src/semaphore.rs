use std::{fmt, future::Future, panic::Location, sync::Arc, time::Duration};

use steadfast_clock::Instant;

use self::core::Core;
use crate::{AcquireError, ConfigError, TryAcquireError, config::check_count, timeout::Patience};

mod acquire;
mod builder;
mod core;
mod look;
mod permit;
mod snapshot;
mod state;

pub use self::{
    builder::SemaphoreBuilder,
    permit::{OwnedPermit, Permit},
    snapshot::{PermitHolder, SemaphoreSnapshot},
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
/// A future that was granted permits and is not polled, such as one parked in a `select!` loop,
/// keeps them from the others until it is polled or dropped. That is reported, and may be undone,
/// see [`grace`](SemaphoreBuilder::grace) and
/// [`revoke_unclaimed`](SemaphoreBuilder::revoke_unclaimed). Nothing helps against a parked future
/// that has its permits already ([Oxide RFD 609](https://rfd.shared.oxide.computer/rfd/0609)).
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
    #[track_caller]
    pub fn acquire(
        &self,
        permits: usize,
    ) -> impl Future<Output = Result<Permit<'_>, AcquireError>> {
        let caller = Location::caller();
        async move {
            let held = acquire::acquire(&*self.core, permits, caller).await;
            held.map(Permit)
        }
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
    #[track_caller]
    pub fn acquire_timeout(
        &self,
        permits: usize,
        timeout: Duration,
    ) -> impl Future<Output = Result<Permit<'_>, AcquireError>> {
        let caller = Location::caller();
        async move {
            let patience = Patience::For(timeout);
            let held = acquire::acquire_within(&*self.core, permits, patience, caller).await;
            held.map(Permit)
        }
    }

    /// Acquires `permits`, in turn, and gives up at `deadline`, which other calls may share.
    /// Permits that are free are acquired also after it.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_until(
        &self,
        permits: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Permit<'_>, AcquireError>> {
        let caller = Location::caller();
        async move {
            let patience = Patience::Until(deadline);
            let held = acquire::acquire_within(&*self.core, permits, patience, caller).await;
            held.map(Permit)
        }
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
    #[track_caller]
    pub fn acquire_owned(
        &self,
        permits: usize,
    ) -> impl Future<Output = Result<OwnedPermit, AcquireError>> + use<> {
        let (core, caller) = (Arc::clone(&self.core), Location::caller());
        async move {
            let held = acquire::acquire(core, permits, caller).await;
            held.map(OwnedPermit)
        }
    }

    /// As [`acquire_until`](Self::acquire_until), with permits that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned_until(
        &self,
        permits: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<OwnedPermit, AcquireError>> + use<> {
        let (core, caller) = (Arc::clone(&self.core), Location::caller());
        async move {
            let patience = Patience::Until(deadline);
            let held = acquire::acquire_within(core, permits, patience, caller).await;
            held.map(OwnedPermit)
        }
    }

    /// Acquires `permits` that are free and that nobody waits for.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`], which says what stood in the way.
    #[track_caller]
    pub fn try_acquire(&self, permits: usize) -> Result<Permit<'_>, TryAcquireError> {
        acquire::try_acquire(&*self.core, permits, Location::caller()).map(Permit)
    }

    /// As [`try_acquire`](Self::try_acquire), with permits that can be moved into a task.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[track_caller]
    pub fn try_acquire_owned(&self, permits: usize) -> Result<OwnedPermit, TryAcquireError> {
        let core = Arc::clone(&self.core);
        acquire::try_acquire(core, permits, Location::caller()).map(OwnedPermit)
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
        let now = self.core.clock.monotonic();
        let wakes = self.core.state().set_capacity(capacity, now);
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

    /// All that can be seen of it, at one moment. It holds up the users in proportion to the
    /// number of holders.
    #[must_use]
    pub fn snapshot(&self) -> SemaphoreSnapshot {
        self.core.snapshot()
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
            .field("tracked_callers", &state.callers.len())
            .finish_non_exhaustive()
    }
}
