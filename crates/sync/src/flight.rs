use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    rt::{self, Mutex, MutexGuard, ThreadId},
    slab::Slab,
    wait_queue::WakeList,
};

pub(crate) type BoxFuture<O> = Pin<Box<dyn Future<Output = O> + Send>>;

/// How a flight ended, for everybody who joined it.
pub(crate) trait Outcome: Clone {
    /// Its future panicked with this message.
    fn panicked(message: Arc<str>) -> Self;

    /// Its future waits for the flight itself.
    fn recursive() -> Self;
}

/// What a flight starts from, and keeps it where later callers find it.
///
/// Both methods lock the base, and drop what they take out of it after they have unlocked it.
pub(crate) trait Base {
    type Outcome: Outcome;

    /// Forgets the flight and [ends](Flight::end) it, unless it is over.
    fn land(&self, flight: &Arc<Flight<Self::Outcome>>, outcome: Arc<Self::Outcome>);

    /// Removes a caller, and forgets the flight with its last one.
    fn leave(&self, flight: &Arc<Flight<Self::Outcome>>, caller: usize);
}

/// One execution of a future, shared by the callers that joined it.
///
/// It is also the waker that its future sees: it wakes all callers, because any of them may be the
/// only one that is still polled. So the future may keep the flight alive, and has to be taken out
/// of it in the end.
#[derive(Debug)]
pub(crate) struct Flight<O> {
    state: Mutex<State<O>>,
}

#[derive(Debug)]
struct State<O> {
    seat: Seat<O>,
    /// The wakers of the callers that are to poll again.
    callers: Slab<Option<Waker>>,
}

/// Where the future is at the moment.
enum Seat<O> {
    /// Nobody polls it.
    Parked(BoxFuture<O>),
    /// A caller polls it.
    Polled {
        thread: ThreadId,
        /// Whether the callers have to be woken once it is parked.
        woken: bool,
    },
    /// The outcome, behind an `Arc` so that it is cloned after the mutex is released.
    Over(Arc<O>),
    /// The last caller has left.
    Abandoned,
}

/// What a caller that is polled has to do.
enum Turn<O> {
    /// Poll the future, and park it with this waker.
    Poll(BoxFuture<O>, Waker),
    /// Wait for the one who polls it.
    Wait,
    /// Nothing: it is the future's own poll that asks.
    Recurse,
    Return(Arc<O>),
}

/// What a caller leaves behind, to be dropped once no lock is held.
#[must_use]
#[derive(Debug)]
pub(crate) struct Left<O> {
    /// How many callers there still are.
    pub(crate) callers: usize,
    _waker: Option<Waker>,
    _seat: Option<Seat<O>>,
}

/// What is left of a flight that ended, to be dealt with once no lock is held.
#[must_use]
#[derive(Debug)]
pub(crate) struct Remains<O> {
    wakes: WakeList,
    _seat: Seat<O>,
}

impl<O> Flight<O> {
    /// The caller that a flight begins with.
    pub(crate) const LEADER: usize = 0;

    /// A flight whose future its leader makes, or polls with a waker of its own, on `thread`.
    pub(crate) fn led_by(thread: ThreadId) -> Self {
        let woken = true;
        Self::new(Seat::Polled { thread, woken }, None)
    }

    /// A flight whose future its leader has polled with this waker.
    pub(crate) fn parked(future: BoxFuture<O>, waker: Waker) -> Self {
        Self::new(Seat::Parked(future), Some(waker))
    }

    fn new(seat: Seat<O>, leader: Option<Waker>) -> Self {
        let mut callers = Slab::new();
        callers.insert(leader);
        let state = Mutex::new(State { seat, callers });
        Self { state }
    }

    /// Leaves the future to whoever is polled next; this waker is the caller's from now on. Says
    /// whether it did: the flight may be over.
    fn park(&self, caller: usize, future: BoxFuture<O>, waker: Option<Waker>) -> bool {
        let mut state = self.state();
        let Seat::Polled { woken, .. } = state.seat else {
            drop(state);
            return false;
        };
        state.seat = Seat::Parked(future);
        let old = state.set_waker(caller, waker);
        let mut wakes = WakeList::default();
        if woken {
            state.take_wakers(&mut wakes);
        }
        drop(state);
        wakes.wake();
        drop(old);
        true
    }

    /// Sets the outcome, unless there is one.
    pub(crate) fn end(&self, outcome: Arc<O>) -> Remains<O> {
        let mut state = self.state();
        let mut wakes = WakeList::default();
        state.take_wakers(&mut wakes);
        let outcome = Seat::Over(outcome);
        let seat = match state.seat {
            Seat::Over(_) => outcome,
            _ => std::mem::replace(&mut state.seat, outcome),
        };
        Remains { wakes, _seat: seat }
    }

    /// Removes a caller. The last one takes with it what is left of the flight.
    pub(crate) fn leave(&self, caller: usize) -> Left<O> {
        let mut state = self.state();
        let waker = state.callers.remove(caller).flatten();
        let callers = state.callers.len();
        let is_last = callers == 0;
        let seat = is_last.then(|| std::mem::replace(&mut state.seat, Seat::Abandoned));
        Left {
            callers,
            _waker: waker,
            _seat: seat,
        }
    }

    pub(crate) fn callers(&self) -> usize {
        self.state().callers.len()
    }

    /// What the caller has to do, who is woken by this waker from now on, and what to drop.
    fn take_turn(&self, caller: usize, waker: Waker) -> (Turn<O>, Option<Waker>) {
        let thread = rt::thread_id();
        let mut state = self.state();
        match &state.seat {
            Seat::Polled { thread: other, .. } if *other == thread => (Turn::Recurse, Some(waker)),
            Seat::Polled { .. } => (Turn::Wait, state.set_waker(caller, Some(waker))),
            Seat::Over(outcome) => (Turn::Return(Arc::clone(outcome)), Some(waker)),
            Seat::Parked(_) => {
                // Who polls the future need not be woken: what happens meanwhile is remembered.
                let old = state.set_waker(caller, None);
                let woken = false;
                match std::mem::replace(&mut state.seat, Seat::Polled { thread, woken }) {
                    Seat::Parked(future) => (Turn::Poll(future, waker), old),
                    _ => (Turn::Wait, old),
                }
            }
            Seat::Abandoned => (Turn::Wait, Some(waker)),
        }
    }

    fn outcome(&self) -> Option<Arc<O>> {
        match &self.state().seat {
            Seat::Over(outcome) => Some(Arc::clone(outcome)),
            _ => None,
        }
    }

    fn wake_callers(&self) {
        let mut wakes = WakeList::default();
        {
            let mut state = self.state();
            match &mut state.seat {
                // They would find the seat taken. Who polls wakes them afterwards.
                Seat::Polled { woken, .. } => *woken = true,
                _ => state.take_wakers(&mut wakes),
            }
        }
        wakes.wake();
    }

    fn state(&self) -> MutexGuard<'_, State<O>> {
        rt::lock(&self.state)
    }
}

impl<O> State<O> {
    /// Stores the waker of a caller's latest poll and returns what is to be dropped later.
    fn set_waker(&mut self, caller: usize, waker: Option<Waker>) -> Option<Waker> {
        match self.callers.get_mut(caller) {
            Some(stored) => std::mem::replace(stored, waker),
            None => waker,
        }
    }

    fn take_wakers(&mut self, wakes: &mut WakeList) {
        for (_, waker) in self.callers.iter_mut() {
            wakes.push(waker.take());
        }
    }
}

impl<O> Remains<O> {
    /// Wakes the callers, and drops what nobody needs any more.
    pub(crate) fn settle(self) {
        self.wakes.wake();
    }
}

impl<O: Send + Sync> Wake for Flight<O> {
    fn wake(self: Arc<Self>) {
        self.wake_callers();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_callers();
    }
}

impl<O> std::fmt::Debug for Seat<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Seat::Parked(_) => "Parked",
            Seat::Polled { .. } => "Polled",
            Seat::Over(_) => "Over",
            Seat::Abandoned => "Abandoned",
        })
    }
}

/// A caller's membership in a flight, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Member<B: Base> {
    base: B,
    flight: Arc<Flight<B::Outcome>>,
    caller: usize,
}

impl<B: Base> Member<B> {
    /// The caller that the flight began with.
    pub(crate) fn leader(base: B, flight: Arc<Flight<B::Outcome>>) -> Self {
        let caller = Flight::<B::Outcome>::LEADER;
        Self::of(base, flight, caller)
    }

    /// Another caller. Call it while the base is locked, so that the flight cannot lose its last
    /// member.
    pub(crate) fn join(base: B, flight: &Arc<Flight<B::Outcome>>) -> Self {
        let caller = flight.state().callers.insert(None);
        Self::of(base, Arc::clone(flight), caller)
    }

    /// The caller whose place this is.
    pub(crate) fn of(base: B, flight: Arc<Flight<B::Outcome>>, caller: usize) -> Self {
        Self {
            base,
            flight,
            caller,
        }
    }

    /// Makes the future of a new flight; says whether that went well.
    pub(crate) fn begin(&self, make: impl FnOnce() -> BoxFuture<B::Outcome>) -> bool {
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => {
                self.flight.park(self.caller, future, None);
                true
            }
            Err(payload) => {
                let outcome = B::Outcome::panicked(panic_message(&*payload));
                self.base.land(&self.flight, Arc::new(outcome));
                false
            }
        }
    }

    /// Polls the future, unless another caller is doing so.
    pub(crate) fn drive(&self, cx: &mut Context<'_>) -> Poll<B::Outcome>
    where
        B::Outcome: Send + Sync + 'static,
    {
        let (turn, unused) = self.flight.take_turn(self.caller, cx.waker().clone());
        drop(unused);
        let (mut future, waker) = match turn {
            Turn::Poll(future, waker) => (future, waker),
            Turn::Wait => return Poll::Pending,
            Turn::Recurse => return Poll::Ready(B::Outcome::recursive()),
            Turn::Return(outcome) => return Poll::Ready(Arc::unwrap_or_clone(outcome)),
        };
        let callers = Waker::from(Arc::clone(&self.flight));
        let mut cx = Context::from_waker(&callers);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => {
                if self.park(future, waker) {
                    Poll::Pending
                } else {
                    self.outcome()
                }
            }
            Ok(Poll::Ready(outcome)) => self.land(outcome),
            Err(payload) => self.land(B::Outcome::panicked(panic_message(&*payload))),
        }
    }

    /// Leaves the future to whoever is polled next, unless the flight is over.
    pub(crate) fn park(&self, future: BoxFuture<B::Outcome>, waker: Waker) -> bool {
        self.flight.park(self.caller, future, Some(waker))
    }

    /// Ends the flight, and says how it ended if that was otherwise.
    pub(crate) fn land(&self, outcome: B::Outcome) -> Poll<B::Outcome> {
        self.base.land(&self.flight, Arc::new(outcome));
        self.outcome()
    }

    fn outcome(&self) -> Poll<B::Outcome> {
        match self.flight.outcome() {
            Some(outcome) => Poll::Ready(Arc::unwrap_or_clone(outcome)),
            None => Poll::Pending,
        }
    }
}

impl<B: Base> Drop for Member<B> {
    fn drop(&mut self) {
        self.base.leave(&self.flight, self.caller);
    }
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> Arc<str> {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not a text").into()
}
