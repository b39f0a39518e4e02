use std::sync::Arc;

use steadfast_clock::Instant;

use super::Landed;
use crate::{FlightError, flight::Flight, key_table::KeyTable, rt::ThreadId};

/// The flights of some of the keys, and what has become of earlier ones.
#[derive(Debug)]
pub(super) struct Flights<K, V, E> {
    pub(super) table: KeyTable<K, Flying<V, E>>,
    pub(super) totals: Totals,
}

/// How often something has happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) executed: u64,
    pub(super) joined: u64,
    pub(super) failed: u64,
    pub(super) panicked: u64,
}

/// A flight in its key's place.
#[derive(Debug)]
pub(super) enum Flying<V, E> {
    /// Its first caller polls it for the first time, on this thread, and nobody has joined yet.
    /// Most flights that are over at once never need more than that.
    Alone(ThreadId),
    Shared(Shared<V, E>),
}

#[derive(Debug)]
pub(super) struct Shared<V, E> {
    pub(super) flight: Arc<Flight<Landed<V, E>>>,
    /// When its first poll was over.
    pub(super) since: Option<Instant>,
    /// Whether one of its callers is the task that goes on with it unobserved.
    pub(super) is_detached: bool,
    /// Whether it was reported as a long one.
    pub(super) is_reported: bool,
}

impl<K, V, E> Flights<K, V, E> {
    pub(super) fn new() -> Self {
        Self {
            table: KeyTable::new(),
            totals: Totals::default(),
        }
    }

    /// The flight in this place, if it is this one.
    pub(super) fn current(
        &mut self,
        index: usize,
        flight: &Arc<Flight<Landed<V, E>>>,
    ) -> Option<&mut Shared<V, E>> {
        match self.table.get_mut(index) {
            Some(Flying::Shared(shared)) if Arc::ptr_eq(&shared.flight, flight) => Some(shared),
            _ => None,
        }
    }
}

impl Totals {
    pub(super) fn add_outcome<V, E>(&mut self, outcome: &Landed<V, E>) {
        match outcome {
            Ok(_) => {}
            Err(FlightError::Panicked { .. }) => self.panicked += 1,
            Err(_) => self.failed += 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.executed += other.executed;
        self.joined += other.joined;
        self.failed += other.failed;
        self.panicked += other.panicked;
    }
}

impl<V, E> Flying<V, E> {
    /// How many callers wait for it.
    pub(super) fn callers(&self) -> usize {
        match self {
            Flying::Alone(_) => 1,
            Flying::Shared(shared) => {
                let callers = shared.flight.callers();
                callers.saturating_sub(usize::from(shared.is_detached))
            }
        }
    }

    pub(super) fn since(&self) -> Option<Instant> {
        match self {
            Flying::Alone(_) => None,
            Flying::Shared(shared) => shared.since,
        }
    }
}

impl<V, E> Shared<V, E> {
    pub(super) fn new(flight: Flight<Landed<V, E>>, since: Option<Instant>) -> Self {
        Self {
            flight: Arc::new(flight),
            since,
            is_detached: false,
            is_reported: false,
        }
    }
}
