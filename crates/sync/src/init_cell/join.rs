use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tracing::{debug, warn};

use super::{InitCell, Phase};
use crate::{
    InitError,
    flight::{Base, Flight, Member, Outcome},
};

/// How an attempt ended.
pub(super) type Landed<T, E> = Result<Arc<T>, InitError<E>>;

impl<T, E> Outcome for Landed<T, E> {
    fn panicked(message: Arc<str>) -> Self {
        Err(InitError::Panicked { message })
    }

    fn recursive() -> Self {
        Err(InitError::Recursive)
    }
}

/// One caller's wait for the value.
pub(super) struct Join<'a, T, E, F> {
    cell: &'a InitCell<T, E>,
    /// Makes the attempt's future, if this caller turns out to be the one who begins it.
    init: Option<F>,
    /// Whether to refuse to join an attempt that somebody else began.
    exclusive: bool,
    member: Option<Member<Attempt<'a, T, E>>>,
}

impl<T, E, F> Unpin for Join<'_, T, E, F> {}

impl<'a, T, E, F> Join<'a, T, E, F> {
    pub(super) fn new(cell: &'a InitCell<T, E>, init: F, exclusive: bool) -> Self {
        Self {
            cell,
            init: Some(init),
            exclusive,
            member: None,
        }
    }

    /// Joins the attempt in flight or begins one; an outcome if there is nothing to wait for.
    fn start<Fut>(&mut self) -> Option<Landed<T, E>>
    where
        F: FnOnce(u64) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let cell = self.cell;
        let mut now = None;
        let mut state = cell.locked();
        while matches!(state.phase, Phase::Idle | Phase::Failed) && now.is_none() {
            // The clock is looked at only if an attempt begins, and while nothing is locked.
            drop(state);
            now = Some(cell.now());
            state = cell.locked();
        }
        let flight = match &state.phase {
            Phase::Ready(value) => return Some(Ok(Arc::clone(value))),
            Phase::Initialising(_) if self.exclusive => {
                return Some(Err(InitError::AlreadyInProgress));
            }
            Phase::Initialising(flight) => {
                let attempt = Attempt::new(cell, state.generation);
                self.member = Some(Member::join(attempt, flight));
                return None;
            }
            Phase::Idle | Phase::Failed => state.begin(),
        };
        cell.publish(&state, now.flatten());
        let generation = state.generation;
        drop(state);
        let member = Member::leader(Attempt::new(cell, generation), flight);
        let (member, init) = (self.member.insert(member), self.init.take()?);
        let is_begun = member.begin(|| {
            let attempt = init(generation);
            Box::pin(async move {
                match attempt.await {
                    Ok(value) => Ok(Arc::new(value)),
                    Err(error) => Err(InitError::Failed(Arc::new(error))),
                }
            })
        });
        if is_begun {
            debug!(name = self.cell.name(), generation, "initialising");
        }
        None
    }
}

impl<T, E, F, Fut> Future for Join<'_, T, E, F>
where
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: FnOnce(u64) -> Fut,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    type Output = Landed<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.member.is_none()
            && let Some(outcome) = self.start()
        {
            return Poll::Ready(outcome);
        }
        match &self.member {
            Some(member) => member.drive(cx),
            None => Poll::Pending,
        }
    }
}

/// One attempt of a cell. When its last caller leaves, it is dropped.
struct Attempt<'a, T, E> {
    cell: &'a InitCell<T, E>,
    generation: u64,
}

impl<'a, T, E> Attempt<'a, T, E> {
    fn new(cell: &'a InitCell<T, E>, generation: u64) -> Self {
        Self { cell, generation }
    }

    /// Tells how the attempt ended.
    fn report(&self, outcome: &Landed<T, E>) {
        let (name, generation) = (self.cell.name(), self.generation);
        let Err(error) = outcome else {
            debug!(name, generation, "initialised");
            return;
        };
        let panicked = matches!(error, InitError::Panicked { .. });
        warn!(name, generation, panicked, "initialisation failed");
        if let Some(probe) = &self.cell.probe {
            probe
                .meters
                .count(if panicked { "panicked" } else { "failed" });
        }
    }
}

impl<T, E> Base for Attempt<'_, T, E> {
    type Outcome = Landed<T, E>;

    fn land(&self, flight: &Arc<Flight<Landed<T, E>>>, outcome: Arc<Landed<T, E>>) {
        let now = self.cell.now();
        let mut state = self.cell.locked();
        let spent = state.is_current(flight).then(|| {
            let spent = state.land(&outcome);
            self.cell.publish(&state, now);
            spent
        });
        let remains = flight.end(Arc::clone(&outcome));
        drop(state);
        remains.settle();
        let is_current = spent.is_some();
        drop(spent);
        // The event comes last: its subscriber may panic.
        if is_current {
            self.report(&outcome);
        }
    }

    fn leave(&self, flight: &Arc<Flight<Landed<T, E>>>, caller: usize) {
        let now = self.cell.now();
        let mut state = self.cell.locked();
        let left = flight.leave(caller);
        let abandoned = (left.callers == 0 && state.is_current(flight)).then(|| {
            let abandoned = std::mem::replace(&mut state.phase, Phase::Idle);
            self.cell.publish(&state, now);
            abandoned
        });
        drop(state);
        let is_abandoned = abandoned.is_some();
        drop((left, abandoned));
        if is_abandoned {
            let (name, generation) = (self.cell.name(), self.generation);
            debug!(name, generation, "initialisation abandoned");
        }
    }
}
