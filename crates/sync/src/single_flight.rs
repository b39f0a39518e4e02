use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant, SystemClock};
use tracing::warn;

use self::{
    entry::Orphan,
    flights::{Flights, Flying, Totals},
    join::Join,
};
use crate::{
    FlightError, PrimitiveState, Snapshot, config::DEFAULT_LONG_HOLD, key_table::Shards,
    meters::Meters, registry::Inspect,
};

mod builder;
#[cfg(feature = "spawn")]
mod detach;
mod entry;
mod flights;
mod join;
mod snapshot;

pub use self::{
    builder::{OnUnobserved, SingleFlightBuilder},
    snapshot::SingleFlightSnapshot,
};

/// Work that several callers ask for at the same time is done once per key, and all of them get
/// its outcome.
///
/// The value is cloned for each caller; put what is expensive to clone into an [`Arc`]. Nothing is
/// cached: an outcome is for those who asked before it was there.
///
/// # Guarantees
///
/// - At most one execution per key is in flight; callers that come meanwhile join it, and their
///   own work is dropped unused. A call that comes after the outcome starts anew.
/// - Any caller that is polled drives the work, so a caller that is parked or dropped, the first
///   one too, holds nobody up and changes nothing for the others.
/// - With its last caller the work is dropped. A call that comes during that drop starts anew, and
///   does not wait for the destructors. [`on_unobserved`](SingleFlightBuilder::on_unobserved) can
///   let the work go on in a task instead.
/// - A failure or a panic reaches every caller that joined.
/// - A key is kept exactly while a flight of it has callers.
/// - Work that asks for its own key gets [`FlightError::Recursive`] instead of a hang, if it does
///   so itself: a task in between, which it waits for, is not seen through.
///
/// # Examples
///
/// ```
/// use steadfast_sync::SingleFlight;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pages = SingleFlight::<&str, String, std::io::Error>::new();
/// let render = || async {
///     tokio::time::sleep(std::time::Duration::from_millis(10)).await;
///     Ok("rendered once".to_owned())
/// };
/// let (first, second) = tokio::join!(
///     pages.run("index", render),
///     pages.run("index", || async { unreachable!("joins the first") }),
/// );
/// assert_eq!(first.unwrap(), second.unwrap());
/// assert_eq!(pages.in_flight(), 0);
/// # }
/// ```
pub struct SingleFlight<K, V, E> {
    core: Arc<Core<K, V, E>>,
}

/// What the group, its detached flights and the registry share.
struct Core<K, V, E> {
    name: String,
    long_hold: Duration,
    clock: Arc<dyn Clock>,
    meters: Meters,
    shards: Shards<Flights<K, V, E>>,
    /// Takes over a flight that nobody waits for; without it, such a flight is dropped.
    detach: Option<Detach<K, V, E>>,
}

/// Goes on with a flight that nobody waits for.
type Detach<K, V, E> = fn(Orphan<K, V, E>);

/// How the work ended.
type Landed<V, E> = Result<V, FlightError<E>>;

impl<K, V, E> SingleFlight<K, V, E> {
    /// A group without a name, that drops work that nobody waits for.
    #[must_use]
    pub fn new() -> Self {
        Self {
            core: Arc::new(Core {
                name: String::new(),
                long_hold: DEFAULT_LONG_HOLD,
                clock: Arc::new(SystemClock),
                meters: Meters::default(),
                shards: Shards::new(Flights::new),
                detach: None,
            }),
        }
    }

    /// Configures a group.
    #[must_use]
    pub fn builder() -> SingleFlightBuilder<K, V, E> {
        SingleFlightBuilder::new()
    }

    /// The outcome of the key's flight if there is one, else that of a new one, for which `work`
    /// is called.
    ///
    /// # Errors
    ///
    /// [`FlightError::Failed`] and [`FlightError::Panicked`] say how the work ended, and
    /// [`FlightError::Recursive`] that it asked for its own outcome.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it leaves the work to the other callers; if there is
    /// none, the work is dropped.
    pub fn run<F, Fut>(&self, key: K, work: F) -> impl Future<Output = Result<V, FlightError<E>>>
    where
        K: Hash + Eq + Send + Sync,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        V: Clone + Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Join::new(&self.core, key, work)
    }

    /// How many keys are in flight.
    ///
    /// The shards are counted one after the other, so changes meanwhile may be seen in part.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let shards = self.core.shards.iter();
        shards.map(|flights| flights.table.len()).sum()
    }

    /// How many callers wait for a key's flight, none if there is no flight.
    #[must_use]
    pub fn callers(&self, key: &K) -> usize
    where
        K: Hash + Eq,
    {
        let shards = &self.core.shards;
        let hash = shards.hash(key);
        let flights = shards.lock(shards.index(hash));
        let index = flights.table.find(hash, key);
        let flying = index.and_then(|index| flights.table.get(index));
        flying.map_or(0, Flying::callers)
    }

    /// All that can be seen of it. The shards are read one after the other, so changes meanwhile
    /// may be seen in part.
    #[must_use]
    pub fn snapshot(&self) -> SingleFlightSnapshot {
        self.core.snapshot()
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }
}

impl<K, V, E> Core<K, V, E> {
    fn snapshot(&self) -> SingleFlightSnapshot {
        let now = self.clock.monotonic();
        let mut totals = Totals::default();
        let (mut in_flight, mut unobserved, mut callers) = (0, 0, 0);
        let mut oldest: Option<Instant> = None;
        for mut flights in self.shards.iter() {
            totals.add(flights.totals);
            in_flight += flights.table.len();
            for flying in flights.table.values_mut() {
                let waiting = flying.callers();
                callers += waiting;
                unobserved += usize::from(waiting == 0);
                oldest = oldest.into_iter().chain(flying.since()).min();
            }
        }
        SingleFlightSnapshot {
            in_flight,
            unobserved,
            callers,
            oldest: oldest.map(|since| now.saturating_duration_since(since)),
            executed: totals.executed,
            joined: totals.joined,
            failed: totals.failed,
            panicked: totals.panicked,
        }
    }

    /// The flights that have just turned out to take long: how long, and how many wait for each.
    fn long_flights(&self) -> Vec<(Duration, usize)> {
        let now = self.clock.monotonic();
        let mut long = Vec::new();
        for mut flights in self.shards.iter() {
            for flying in flights.table.values_mut() {
                if let Flying::Shared(shared) = flying
                    && let Some(since) = shared.since
                    && let held_for = now.saturating_duration_since(since)
                    && held_for >= self.long_hold
                    && !std::mem::replace(&mut shared.is_reported, true)
                {
                    long.push((held_for, flying.callers()));
                }
            }
        }
        long
    }
}

impl<K, V, E> Inspect for Core<K, V, E>
where
    K: Send + Sync,
    V: Send + Sync,
    E: Send + Sync,
{
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            state: PrimitiveState::SingleFlight(self.snapshot()),
        }
    }

    fn look(&self) {
        for (held_for, callers) in self.long_flights() {
            warn!(name = self.name, ?held_for, callers, "flight takes long");
            self.meters.count("long_hold");
        }
    }
}

impl<K, V, E> Default for SingleFlight<K, V, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, E> fmt::Debug for SingleFlight<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight")
            .field("name", &self.core.name)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
