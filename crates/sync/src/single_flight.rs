use std::{fmt, hash::Hash, sync::Arc};

use self::join::{Join, Landed};
use crate::{
    FlightError,
    flight::Flight,
    key_table::{KeyTable, Shards},
};

mod join;

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
///   does not wait for the destructors. Work that must outlive its callers is called from a task
///   of your own.
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
    name: String,
    shards: Shards<Shard<K, V, E>>,
}

/// The flights of some of the keys.
type Shard<K, V, E> = KeyTable<K, Arc<Flight<Landed<V, E>>>>;

impl<K, V, E> SingleFlight<K, V, E> {
    /// A group without a name.
    #[must_use]
    pub fn new() -> Self {
        Self::named(String::new())
    }

    /// A group, and the name under which events speak of it.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            shards: Shards::new(KeyTable::new),
        }
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
        V: Clone + Send + Sync,
        E: Send + Sync,
    {
        Join::new(self, key, work)
    }

    /// How many keys are in flight.
    ///
    /// The shards are counted one after the other, so changes meanwhile may be seen in part.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// How many callers wait for a key's flight, none if there is no flight.
    #[must_use]
    pub fn callers(&self, key: &K) -> usize
    where
        K: Hash + Eq,
    {
        let hash = self.shards.hash(key);
        let shard = self.shards.lock(self.shards.index(hash));
        let flight = shard.find(hash, key).and_then(|index| shard.get(index));
        flight.map_or(0, |flight| flight.callers())
    }

    /// The name given to [`named`](Self::named), empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
            .field("name", &self.name)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
