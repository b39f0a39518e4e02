use std::{fmt, sync::Arc};

use steadfast_clock::Instant;
use tracing::debug;

use self::{
    join::{Join, Landed},
    probe::{Probe, Seen},
};
use crate::{
    InitError,
    flight::Flight,
    rt::{
        self, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

mod builder;
mod cached;
mod join;
mod probe;
mod snapshot;

pub use self::{builder::InitCellBuilder, cached::Cached, snapshot::InitCellSnapshot};

/// A value that is initialised once, by one attempt at a time, and can be reset.
///
/// # Guarantees
///
/// - At most one attempt is in flight; callers that come meanwhile join it and get its outcome.
/// - Any caller that is polled drives the attempt, so a caller that is parked or dropped holds
///   nobody up. When its last caller is dropped, so is the attempt, and the cell is idle again.
/// - A failure or panic reaches every caller that joined and is not remembered beyond
///   [`state`](Self::state): the next call starts a new attempt.
/// - Each attempt has a generation, counted from 1 and never used twice.
/// - An attempt that waits for its own outcome gets [`InitError::Recursive`] instead of a hang, if
///   it does so itself: a task in between, which it waits for, is not seen through.
///
/// # Examples
///
/// ```
/// use steadfast_sync::{InitCell, InitState};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let cell = InitCell::<String, std::io::Error>::new();
/// let value = cell.get_or_init(|generation| async move { Ok(format!("attempt {generation}")) });
/// assert_eq!(*value.await.unwrap(), "attempt 1");
/// assert_eq!(cell.state(), InitState::Ready(1));
/// # }
/// ```
pub struct InitCell<T, E> {
    /// The generation of the value, 0 while there is none.
    ready: AtomicU64,
    state: Mutex<State<T, E>>,
    /// Kept in step with the state, if the cell has a name.
    probe: Option<Arc<Probe>>,
}

/// Where a cell is in its life; each number is the generation of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
pub enum InitState {
    /// Never initialised, reset, or abandoned by every caller.
    Idle,
    /// An attempt is in flight.
    Initialising(u64),
    /// There is a value.
    Ready(u64),
    /// The latest attempt failed.
    Failed(u64),
}

struct State<T, E> {
    /// The latest attempt's number.
    generation: u64,
    failures: u64,
    phase: Phase<T, E>,
}

enum Phase<T, E> {
    Idle,
    Initialising(Arc<Flight<Landed<T, E>>>),
    Ready(Arc<T>),
    Failed,
}

impl<T, E> InitCell<T, E> {
    rt::const_unless_loom! {
        /// An idle cell without a name.
        #[must_use]
        pub const fn new() -> Self {
            Self {
                ready: AtomicU64::new(0),
                state: Mutex::new(State {
                    generation: 0,
                    failures: 0,
                    phase: Phase::Idle,
                }),
                probe: None,
            }
        }
    }

    /// Configures a cell.
    #[must_use]
    pub fn builder() -> InitCellBuilder<T, E> {
        InitCellBuilder::new()
    }

    /// The value if there is one, else the outcome of the attempt in flight, else that of a new
    /// attempt, for which `init` is called with its generation.
    ///
    /// # Errors
    ///
    /// [`InitError::Failed`] and [`InitError::Panicked`] say how the attempt ended,
    /// [`InitError::Reset`] that the cell was reset during it, and [`InitError::Recursive`] that
    /// `init`'s future asked for its own outcome.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it leaves the attempt to the other callers; if there
    /// is none, the attempt is dropped and the cell is idle.
    pub fn get_or_init<F, Fut>(&self, init: F) -> impl Future<Output = Result<Arc<T>, InitError<E>>>
    where
        F: FnOnce(u64) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Join::new(self, init, false)
    }

    /// As [`get_or_init`](Self::get_or_init), but does not join an attempt that is in flight.
    ///
    /// # Errors
    ///
    /// [`InitError::AlreadyInProgress`], and those of [`get_or_init`](Self::get_or_init).
    ///
    /// # Cancel safety
    ///
    /// As [`get_or_init`](Self::get_or_init).
    pub fn try_init<F, Fut>(&self, init: F) -> impl Future<Output = Result<Arc<T>, InitError<E>>>
    where
        F: FnOnce(u64) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Join::new(self, init, true)
    }

    /// The value, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        self.get_with_generation().map(|(_, value)| value)
    }

    /// A reader that remembers the value, for hot paths.
    #[must_use]
    pub fn cached(&self) -> Cached<'_, T, E> {
        Cached::new(self)
    }

    /// Makes the cell idle and returns the value that it had.
    ///
    /// An attempt in flight is dropped, and its callers get [`InitError::Reset`].
    pub fn reset(&self) -> Option<Arc<T>> {
        let now = self.now();
        let mut state = self.locked();
        let phase = std::mem::replace(&mut state.phase, Phase::Idle);
        self.publish(&state, now);
        match phase {
            Phase::Ready(value) => {
                drop(state);
                debug!(name = self.name(), "cell reset");
                Some(value)
            }
            Phase::Initialising(flight) => {
                let remains = flight.end(Arc::new(Err(InitError::Reset)));
                drop(state);
                remains.settle();
                debug!(name = self.name(), "cell reset during initialisation");
                None
            }
            Phase::Idle | Phase::Failed => None,
        }
    }

    /// Where the cell is in its life.
    #[must_use]
    pub fn state(&self) -> InitState {
        self.locked().seen()
    }

    /// All that can be seen of it, at one moment.
    #[must_use]
    pub fn snapshot(&self) -> InitCellSnapshot {
        if let Some(probe) = &self.probe {
            return probe.snapshot();
        }
        let state = self.locked();
        InitCellSnapshot {
            state: state.seen(),
            age: None,
            attempts: state.generation,
            failures: state.failures,
        }
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        self.probe.as_ref().map_or("", |probe| &probe.name)
    }

    fn get_with_generation(&self) -> Option<(u64, Arc<T>)> {
        let state = self.locked();
        match &state.phase {
            Phase::Ready(value) => Some((state.generation, Arc::clone(value))),
            _ => None,
        }
    }

    fn locked(&self) -> MutexGuard<'_, State<T, E>> {
        rt::lock(&self.state)
    }

    /// The time, for a transition; only who is looked at needs it.
    fn now(&self) -> Option<Instant> {
        Some(self.probe.as_ref()?.clock.monotonic())
    }

    /// Tells the cached readers and the registry of a transition, while the state is still locked.
    fn publish(&self, state: &State<T, E>, now: Option<Instant>) {
        let generation = match &state.phase {
            Phase::Ready(_) => state.generation,
            _ => 0,
        };
        self.ready.store(generation, Ordering::Release);
        if let (Some(probe), Some(since)) = (&self.probe, now) {
            *rt::lock(&probe.seen) = Seen {
                state: state.seen(),
                since,
                attempts: state.generation,
                failures: state.failures,
                is_reported: false,
            };
        }
    }
}

impl<T, E> State<T, E> {
    fn seen(&self) -> InitState {
        match &self.phase {
            Phase::Idle => InitState::Idle,
            Phase::Initialising(_) => InitState::Initialising(self.generation),
            Phase::Ready(_) => InitState::Ready(self.generation),
            Phase::Failed => InitState::Failed(self.generation),
        }
    }

    /// Begins an attempt, whose future this thread is about to make.
    fn begin(&mut self) -> Arc<Flight<Landed<T, E>>> {
        self.generation += 1;
        let flight = Arc::new(Flight::led_by(rt::thread_id()));
        self.phase = Phase::Initialising(Arc::clone(&flight));
        flight
    }

    /// Whether this very attempt is in flight.
    fn is_current(&self, flight: &Arc<Flight<Landed<T, E>>>) -> bool {
        matches!(&self.phase, Phase::Initialising(current) if Arc::ptr_eq(current, flight))
    }

    /// Ends the attempt in flight; what it was is dropped once the state is unlocked.
    fn land(&mut self, outcome: &Landed<T, E>) -> Phase<T, E> {
        let phase = match outcome {
            Ok(value) => Phase::Ready(Arc::clone(value)),
            Err(_) => {
                self.failures += 1;
                Phase::Failed
            }
        };
        std::mem::replace(&mut self.phase, phase)
    }
}

impl<T, E> Default for InitCell<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> fmt::Debug for InitCell<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitCell")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
