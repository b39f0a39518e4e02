use std::{
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tracing::{debug, warn};

use super::SingleFlight;
use crate::{
    FlightError,
    flight::{Base, Flight, Member, Outcome},
};

/// How the work ended.
pub(super) type Landed<V, E> = Result<V, FlightError<E>>;

impl<V: Clone, E> Outcome for Landed<V, E> {
    fn panicked(message: Arc<str>) -> Self {
        Err(FlightError::Panicked { message })
    }

    fn recursive() -> Self {
        Err(FlightError::Recursive)
    }
}

/// One caller's wait for the outcome.
pub(super) struct Join<'a, K, V: Clone, E, F> {
    group: &'a SingleFlight<K, V, E>,
    /// The key, and what makes the work if this caller turns out to be the first. None once it
    /// has been polled.
    call: Option<(K, F)>,
    member: Option<Member<Entry<'a, K, V, E>>>,
}

impl<K, V: Clone, E, F> Unpin for Join<'_, K, V, E, F> {}

impl<'a, K, V: Clone, E, F> Join<'a, K, V, E, F> {
    pub(super) fn new(group: &'a SingleFlight<K, V, E>, key: K, work: F) -> Self {
        Self {
            group,
            call: Some((key, work)),
            member: None,
        }
    }

    /// Joins the key's flight or begins one.
    fn start<Fut>(&mut self, key: K, work: F)
    where
        K: Hash + Eq,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let group = self.group;
        let hash = group.shards.hash(&key);
        let shard = group.shards.index(hash);
        let mut flights = group.shards.lock(shard);
        if let Some(index) = flights.find(hash, &key)
            && let Some(flight) = flights.get(index)
        {
            let entry = Entry::new(group, shard, index);
            self.member = Some(Member::join(entry, flight));
            drop(flights);
            return;
        }
        let flight = Arc::new(Flight::new());
        let index = flights.insert(hash, key, Arc::clone(&flight));
        let member = Member::join(Entry::new(group, shard, index), &flight);
        drop(flights);
        let is_begun = self.member.insert(member).begin(|| {
            let work = work();
            Box::pin(async move {
                work.await
                    .map_err(|error| FlightError::Failed(Arc::new(error)))
            })
        });
        if is_begun {
            debug!(name = group.name(), "flight started");
        }
    }
}

impl<K, V, E, F, Fut> Future for Join<'_, K, V, E, F>
where
    K: Hash + Eq,
    V: Clone,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    type Output = Landed<V, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some((key, work)) = self.call.take() {
            self.start(key, work);
        }
        match &self.member {
            Some(member) => member.drive(cx),
            None => Poll::Pending,
        }
    }
}

/// Where a flight is found: its key's place.
struct Entry<'a, K, V, E> {
    group: &'a SingleFlight<K, V, E>,
    shard: usize,
    index: usize,
}

impl<'a, K, V, E> Entry<'a, K, V, E> {
    fn new(group: &'a SingleFlight<K, V, E>, shard: usize, index: usize) -> Self {
        Self {
            group,
            shard,
            index,
        }
    }
}

impl<K, V: Clone, E> Base for Entry<'_, K, V, E> {
    type Outcome = Landed<V, E>;

    fn land(&self, flight: &Arc<Flight<Landed<V, E>>>, outcome: Landed<V, E>) {
        let panicked = matches!(outcome, Err(FlightError::Panicked { .. }));
        let mut flights = self.group.shards.lock(self.shard);
        let is_current = flights
            .get(self.index)
            .is_some_and(|current| Arc::ptr_eq(current, flight));
        let key = is_current.then(|| flights.remove(self.index));
        let remains = flight.end(outcome);
        drop(flights);
        flight.wake_callers();
        drop((key, remains));
        // The event comes last: its subscriber may panic.
        if panicked {
            warn!(name = self.group.name(), "flight panicked");
        }
    }

    fn leave(&self, flight: &Arc<Flight<Landed<V, E>>>, caller: usize) {
        let mut flights = self.group.shards.lock(self.shard);
        let (waker, left) = flight.leave(caller);
        let is_current = flights
            .get(self.index)
            .is_some_and(|current| Arc::ptr_eq(current, flight));
        let key = (left == 0 && is_current).then(|| flights.remove(self.index));
        drop(flights);
        if key.is_some() {
            debug!(name = self.group.name(), "flight abandoned");
        }
        drop((waker, key));
    }
}
