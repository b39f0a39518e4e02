use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use tracing::{debug, warn};

use super::{
    InitCell, Phase,
    flight::{BoxFuture, Flight, Outcome, Seat, panicked},
};
use crate::InitError;

/// One caller's wait for the value.
pub(super) struct Join<'a, T, E, F> {
    cell: &'a InitCell<T, E>,
    /// Makes the attempt's future, if this caller turns out to be the one who begins it.
    init: Option<F>,
    /// Whether to refuse to join an attempt that somebody else began.
    exclusive: bool,
    member: Option<Member<'a, T, E>>,
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
    fn start<Fut>(&mut self) -> Option<Outcome<T, E>>
    where
        F: FnOnce(u64) -> Fut,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut state = self.cell.locked();
        let flight = match &state.phase {
            Phase::Ready(value) => return Some(Ok(Arc::clone(value))),
            Phase::Initialising { .. } if self.exclusive => {
                return Some(Err(InitError::AlreadyInProgress));
            }
            Phase::Initialising { flight, .. } => {
                self.member = Some(Member::new(self.cell, flight));
                return None;
            }
            Phase::Idle | Phase::Failed => state.begin(),
        };
        let member = Member::new(self.cell, &flight);
        drop(state);
        let (member, init) = (self.member.insert(member), self.init.take()?);
        let generation = flight.generation;
        let made = catch_unwind(AssertUnwindSafe(|| -> BoxFuture<T, E> {
            Box::pin(init(generation))
        }));
        match made {
            Ok(future) => {
                member.park(future);
                debug!(name = self.cell.name(), generation, "initialising");
            }
            Err(payload) => member.land(Err(panicked(&*payload))),
        }
        None
    }
}

impl<T, E, F, Fut> Future for Join<'_, T, E, F>
where
    F: FnOnce(u64) -> Fut,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    type Output = Outcome<T, E>;

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

/// Membership in an attempt. When the last member leaves, the attempt is dropped.
struct Member<'a, T, E> {
    cell: &'a InitCell<T, E>,
    flight: Arc<Flight<T, E>>,
    caller: usize,
}

impl<'a, T, E> Member<'a, T, E> {
    /// Call it while the state is locked, so that the attempt cannot lose its last member.
    fn new(cell: &'a InitCell<T, E>, flight: &Arc<Flight<T, E>>) -> Self {
        Self {
            cell,
            flight: Arc::clone(flight),
            caller: flight.callers.join(),
        }
    }

    /// Polls the attempt, unless another caller is doing so.
    fn drive(&self, cx: &mut Context<'_>) -> Poll<Outcome<T, E>> {
        let waker = cx.waker().clone();
        self.flight.callers.set_waker(self.caller, waker);
        let mut future = match self.take_seat() {
            Poll::Ready(Ok(future)) => future,
            Poll::Ready(Err(outcome)) => return Poll::Ready(outcome),
            Poll::Pending => return Poll::Pending,
        };
        let waker = Waker::from(Arc::clone(&self.flight.callers));
        let mut cx = Context::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => {
                self.park(future);
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(value))) => self.land(Ok(Arc::new(value))),
            Ok(Poll::Ready(Err(error))) => self.land(Err(InitError::Failed(Arc::new(error)))),
            Err(payload) => self.land(Err(panicked(&*payload))),
        }
        match self.flight.outcome.get() {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => Poll::Pending,
        }
    }

    /// The future to poll, or the outcome if there is one already.
    fn take_seat(&self) -> Poll<Result<BoxFuture<T, E>, Outcome<T, E>>> {
        let mut state = self.cell.locked();
        if let Some(outcome) = self.flight.outcome.get() {
            return Poll::Ready(Err(outcome.clone()));
        }
        let Some((seat, turned_away)) = state.seat_of(&self.flight) else {
            return Poll::Pending;
        };
        let this_thread = thread::current().id();
        match std::mem::replace(seat, Seat::Polled(this_thread)) {
            Seat::Parked(future) => Poll::Ready(Ok(future)),
            Seat::Polled(thread) if thread == this_thread => {
                Poll::Ready(Err(Err(InitError::Recursive)))
            }
            polled @ Seat::Polled(_) => {
                *seat = polled;
                *turned_away = true;
                Poll::Pending
            }
        }
    }

    /// Leaves the future to whoever is polled next.
    fn park(&self, future: BoxFuture<T, E>) {
        let mut state = self.cell.locked();
        let Some((seat, turned_away)) = state.seat_of(&self.flight) else {
            drop(state);
            return;
        };
        *seat = Seat::Parked(future);
        // Who was turned away has spent its wake-up without polling the future.
        let wake = std::mem::take(turned_away);
        drop(state);
        if wake {
            self.flight.callers.wake_all();
        }
    }

    /// Ends the attempt, unless a reset did so before.
    fn land(&self, outcome: Outcome<T, E>) {
        let failed = outcome.as_ref().err();
        let panicked = failed.map(|error| matches!(error, InitError::Panicked { .. }));
        let mut state = self.cell.locked();
        let unused = if state.seat_of(&self.flight).is_some() {
            let spent = state.land(&outcome);
            self.cell.publish(&state);
            (self.flight.outcome.set(outcome).err(), Some(spent))
        } else {
            (Some(outcome), None)
        };
        drop(state);
        self.flight.callers.wake_all();
        drop(unused);
        // The event comes last: its subscriber may panic.
        if let Some(panicked) = panicked {
            let (name, generation) = (self.cell.name(), self.flight.generation);
            warn!(name, generation, panicked, "initialisation failed");
        }
    }
}

impl<T, E> Drop for Member<'_, T, E> {
    fn drop(&mut self) {
        let mut state = self.cell.locked();
        let (waker, left) = self.flight.callers.leave(self.caller);
        let abandoned = (left == 0 && state.seat_of(&self.flight).is_some())
            .then(|| std::mem::replace(&mut state.phase, Phase::Idle));
        drop(state);
        if abandoned.is_some() {
            let generation = self.flight.generation;
            debug!(
                name = self.cell.name(),
                generation, "initialisation abandoned"
            );
        }
        drop((waker, abandoned));
    }
}
