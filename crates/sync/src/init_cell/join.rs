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
        let mut state = self.cell.locked();
        let flight = match &state.phase {
            Phase::Ready(value) => return Some(Ok(Arc::clone(value))),
            Phase::Initialising(_) if self.exclusive => {
                return Some(Err(InitError::AlreadyInProgress));
            }
            Phase::Initialising(flight) => {
                let attempt = Attempt::new(self.cell, state.generation);
                self.member = Some(Member::join(attempt, flight));
                return None;
            }
            Phase::Idle | Phase::Failed => state.begin(),
        };
        let generation = state.generation;
        let member = Member::join(Attempt::new(self.cell, generation), &flight);
        drop(state);
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
}

impl<T, E> Base for Attempt<'_, T, E> {
    type Outcome = Landed<T, E>;

    fn land(&self, flight: &Arc<Flight<Landed<T, E>>>, outcome: Landed<T, E>) {
        let failed = outcome.as_ref().err();
        let panicked = failed.map(|error| matches!(error, InitError::Panicked { .. }));
        let mut state = self.cell.locked();
        let spent = state.is_current(flight).then(|| {
            let spent = state.land(&outcome);
            self.cell.publish(&state);
            spent
        });
        let remains = flight.end(outcome);
        drop(state);
        flight.wake_callers();
        drop((spent, remains));
        // The event comes last: its subscriber may panic.
        if let Some(panicked) = panicked {
            let (name, generation) = (self.cell.name(), self.generation);
            warn!(name, generation, panicked, "initialisation failed");
        }
    }

    fn leave(&self, flight: &Arc<Flight<Landed<T, E>>>, caller: usize) {
        let mut state = self.cell.locked();
        let (waker, left) = flight.leave(caller);
        let abandoned = (left == 0 && state.is_current(flight))
            .then(|| std::mem::replace(&mut state.phase, Phase::Idle));
        drop(state);
        if abandoned.is_some() {
            let (name, generation) = (self.cell.name(), self.generation);
            debug!(name, generation, "initialisation abandoned");
        }
        drop((waker, abandoned));
    }
}
