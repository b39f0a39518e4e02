use std::{
    ops::Deref,
    sync::Arc,
    task::{Poll, Waker},
};

use steadfast_clock::Instant;
use tracing::{debug, trace, warn};

use super::{
    Core, Landed,
    flights::{Flights, Flying, Shared},
};
use crate::{
    FlightError,
    flight::{Base, BoxFuture, Flight, Member},
    rt::MutexGuard,
};

/// Where a flight is found: its key's place.
pub(super) struct Entry<'a, K, V, E> {
    group: Group<'a, K, V, E>,
    shard: usize,
    index: usize,
}

enum Group<'a, K, V, E> {
    Borrowed(&'a Arc<Core<K, V, E>>),
    /// The task's that goes on with a flight unobserved.
    #[cfg_attr(
        not(feature = "spawn"),
        expect(dead_code, reason = "there is no such task")
    )]
    Owned(Arc<Core<K, V, E>>),
}

/// Work that its first caller has polled once.
pub(super) struct FirstPoll<V, E> {
    pub(super) future: BoxFuture<Landed<V, E>>,
    /// What woke it, or will.
    pub(super) waker: Waker,
    pub(super) now: Instant,
}

/// A flight that nobody waits for, for a task that goes on with it in its last caller's place.
#[cfg_attr(
    not(feature = "spawn"),
    expect(dead_code, reason = "there is no such task")
)]
pub(super) struct Orphan<K, V, E> {
    pub(super) core: Arc<Core<K, V, E>>,
    shard: usize,
    index: usize,
    flight: Arc<Flight<Landed<V, E>>>,
    caller: usize,
}

impl<'a, K, V, E> Entry<'a, K, V, E> {
    pub(super) fn new(group: &'a Arc<Core<K, V, E>>, shard: usize, index: usize) -> Self {
        Self {
            group: Group::Borrowed(group),
            shard,
            index,
        }
    }

    /// Keeps work that its first caller has polled where later callers find it.
    pub(super) fn share(self, first: FirstPoll<V, E>) -> Option<Member<Self>>
    where
        V: Clone,
    {
        let since = Some(first.now);
        let mut flights = self.flights();
        let flying = flights.table.get_mut(self.index)?;
        if let Flying::Shared(shared) = flying {
            shared.since = since;
            let flight = Arc::clone(&shared.flight);
            drop(flights);
            let member = Member::leader(self, flight);
            member.park(first.future, first.waker);
            return Some(member);
        }
        let shared = Shared::new(Flight::parked(first.future, first.waker), since);
        let flight = Arc::clone(&shared.flight);
        *flying = Flying::Shared(shared);
        drop(flights);
        Some(Member::leader(self, flight))
    }

    /// Ends a flight that was over at its first poll. Nobody else needs the outcome, unless
    /// somebody joined meanwhile.
    pub(super) fn land_first(self, outcome: Landed<V, E>) -> Poll<Landed<V, E>>
    where
        V: Clone,
    {
        let mut flights = self.flights();
        if let Some(Flying::Shared(shared)) = flights.table.get_mut(self.index) {
            let flight = Arc::clone(&shared.flight);
            drop(flights);
            return Member::leader(self, flight).land(outcome);
        }
        flights.totals.add_outcome(&outcome);
        let key = flights.table.remove(self.index);
        drop(flights);
        drop(key);
        self.group.report(&outcome, false);
        Poll::Ready(outcome)
    }

    fn flights(&self) -> MutexGuard<'_, Flights<K, V, E>> {
        self.group.shards.lock(self.shard)
    }
}

#[cfg(feature = "spawn")]
impl<K, V: Clone, E> Orphan<K, V, E> {
    pub(super) fn adopt(self) -> Member<Entry<'static, K, V, E>> {
        let entry = Entry {
            group: Group::Owned(self.core),
            shard: self.shard,
            index: self.index,
        };
        Member::of(entry, self.flight, self.caller)
    }
}

impl<K, V, E> Deref for Group<'_, K, V, E> {
    type Target = Arc<Core<K, V, E>>;

    fn deref(&self) -> &Self::Target {
        match self {
            Group::Borrowed(core) => core,
            Group::Owned(core) => core,
        }
    }
}

impl<K, V: Clone, E> Base for Entry<'_, K, V, E> {
    type Outcome = Landed<V, E>;

    fn land(&self, flight: &Arc<Flight<Landed<V, E>>>, outcome: Arc<Landed<V, E>>) {
        let is_unobserved = matches!(self.group, Group::Owned(_));
        let mut flights = self.flights();
        let key = flights.current(self.index, flight).is_some().then(|| {
            flights.totals.add_outcome(&outcome);
            flights.table.remove(self.index)
        });
        let remains = flight.end(Arc::clone(&outcome));
        drop(flights);
        remains.settle();
        drop(key);
        // The event comes last: its subscriber may panic.
        self.group.report(&outcome, is_unobserved);
    }

    fn leave(&self, flight: &Arc<Flight<Landed<V, E>>>, caller: usize) {
        let mut flights = self.flights();
        if let (Group::Borrowed(core), Some(detach)) = (&self.group, self.group.detach)
            && let Some(shared) = flights.current(self.index, flight)
            && shared.flight.callers() == 1
        {
            shared.is_detached = true;
            drop(flights);
            detach(Orphan {
                core: Arc::clone(core),
                shard: self.shard,
                index: self.index,
                flight: Arc::clone(flight),
                caller,
            });
            return;
        }
        let left = flight.leave(caller);
        let mut key = None;
        if let Some(shared) = flights.current(self.index, flight) {
            if left.callers == 0 {
                key = flights.table.remove(self.index);
            } else if matches!(self.group, Group::Owned(_)) {
                shared.is_detached = false;
            }
        }
        drop(flights);
        let is_abandoned = key.is_some();
        drop((left, key));
        if is_abandoned {
            debug!(name = self.group.name, "flight abandoned");
        }
    }
}

impl<K, V, E> Core<K, V, E> {
    /// Tells of a flight that ended.
    pub(super) fn report(&self, outcome: &Landed<V, E>, is_unobserved: bool) {
        let name = &self.name;
        match outcome {
            Ok(_) => trace!(name, is_unobserved, "flight landed"),
            Err(FlightError::Panicked { message }) => {
                warn!(name, is_unobserved, %message, "flight panicked");
                self.meters.count("panicked");
            }
            Err(_) => {
                debug!(name, is_unobserved, "flight failed");
                self.meters.count("failed");
            }
        }
    }
}
