use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    rt::{
        self, Mutex, MutexGuard,
        thread::{self, ThreadId},
    },
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
    fn land(&self, flight: &Arc<Flight<Self::Outcome>>, outcome: Self::Outcome);

    /// Removes a caller, and forgets the flight with its last one.
    fn leave(&self, flight: &Arc<Flight<Self::Outcome>>, caller: usize);
}

/// One execution of a future, shared by the callers that joined it.
#[derive(Debug)]
pub(crate) struct Flight<O> {
    outcome: OnceLock<O>,
    seat: Mutex<Seat<O>>,
    callers: Arc<Callers>,
}

/// Where the future is at the moment.
enum Seat<O> {
    /// Nobody polls it.
    Parked(BoxFuture<O>),
    /// A caller polls it.
    Polled {
        thread: ThreadId,
        /// Whether another caller found it so and left without polling.
        turned_away: bool,
    },
    /// There is an outcome.
    Over,
}

/// What is left of a flight that ended, to be dropped once no lock is held.
#[must_use]
#[derive(Debug)]
pub(crate) struct Remains<O> {
    _unused: Option<O>,
    _seat: Seat<O>,
}

impl<O> Flight<O> {
    /// A flight whose future this thread is about to make.
    pub(crate) fn new() -> Self {
        Self {
            outcome: OnceLock::new(),
            seat: Mutex::new(Seat::polled()),
            callers: Arc::new(Callers(Mutex::new(Slab::new()))),
        }
    }

    /// Sets the outcome, unless there is one; [wake](Self::wake_callers) the callers afterwards.
    pub(crate) fn end(&self, outcome: O) -> Remains<O> {
        let mut seat = self.seat();
        Remains {
            _unused: self.outcome.set(outcome).err(),
            _seat: std::mem::replace(&mut seat, Seat::Over),
        }
    }

    pub(crate) fn wake_callers(&self) {
        self.callers.wake_all();
    }

    /// Removes a caller; returns its waker, to be dropped later, and how many are left.
    pub(crate) fn leave(&self, caller: usize) -> (Option<Waker>, usize) {
        self.callers.leave(caller)
    }

    pub(crate) fn callers(&self) -> usize {
        self.callers.with(|callers| callers.len())
    }

    /// Leaves the future to whoever is polled next.
    fn park(&self, future: BoxFuture<O>) {
        let mut seat = self.seat();
        let turned_away = match *seat {
            Seat::Polled { turned_away, .. } => turned_away,
            Seat::Parked(_) | Seat::Over => {
                drop(seat);
                return;
            }
        };
        *seat = Seat::Parked(future);
        drop(seat);
        // Who was turned away has spent its wake-up without polling the future.
        if turned_away {
            self.wake_callers();
        }
    }

    fn seat(&self) -> MutexGuard<'_, Seat<O>> {
        rt::lock(&self.seat)
    }
}

impl<O: Outcome> Flight<O> {
    /// The future to poll, or what to tell the caller instead.
    fn take_seat(&self) -> Result<BoxFuture<O>, Poll<O>> {
        let mut seat = self.seat();
        match std::mem::replace(&mut *seat, Seat::Over) {
            Seat::Parked(future) => {
                *seat = Seat::polled();
                Ok(future)
            }
            Seat::Polled {
                thread,
                turned_away,
            } => {
                let is_recursive = thread == thread::current().id();
                let turned_away = turned_away || !is_recursive;
                *seat = Seat::Polled {
                    thread,
                    turned_away,
                };
                drop(seat);
                Err(if is_recursive {
                    Poll::Ready(O::recursive())
                } else {
                    Poll::Pending
                })
            }
            Seat::Over => {
                drop(seat);
                Err(self.outcome())
            }
        }
    }

    fn outcome(&self) -> Poll<O> {
        match self.outcome.get() {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => Poll::Pending,
        }
    }
}

impl<O> Seat<O> {
    fn polled() -> Self {
        Seat::Polled {
            thread: thread::current().id(),
            turned_away: false,
        }
    }
}

impl<O> std::fmt::Debug for Seat<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Seat::Parked(_) => "Parked",
            Seat::Polled { .. } => "Polled",
            Seat::Over => "Over",
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
    /// Call it while the base is locked, so that the flight cannot lose its last member.
    pub(crate) fn join(base: B, flight: &Arc<Flight<B::Outcome>>) -> Self {
        Self {
            base,
            flight: Arc::clone(flight),
            caller: flight.callers.join(),
        }
    }

    /// Makes the future of a new flight; says whether that went well.
    pub(crate) fn begin(&self, make: impl FnOnce() -> BoxFuture<B::Outcome>) -> bool {
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => {
                self.flight.park(future);
                true
            }
            Err(payload) => {
                self.land_panicked(&*payload);
                false
            }
        }
    }

    /// Polls the future, unless another caller is doing so.
    pub(crate) fn drive(&self, cx: &mut Context<'_>) -> Poll<B::Outcome> {
        let callers = &self.flight.callers;
        callers.set_waker(self.caller, cx.waker().clone());
        let mut future = match self.flight.take_seat() {
            Ok(future) => future,
            Err(answer) => return answer,
        };
        let waker = Waker::from(Arc::clone(callers));
        let mut cx = Context::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => {
                self.flight.park(future);
                return Poll::Pending;
            }
            Ok(Poll::Ready(outcome)) => self.base.land(&self.flight, outcome),
            Err(payload) => self.land_panicked(&*payload),
        }
        self.flight.outcome()
    }

    fn land_panicked(&self, payload: &(dyn Any + Send)) {
        let outcome = B::Outcome::panicked(panic_message(payload));
        self.base.land(&self.flight, outcome);
    }
}

impl<B: Base> Drop for Member<B> {
    fn drop(&mut self) {
        self.base.leave(&self.flight, self.caller);
    }
}

/// The callers of a flight, and the waker that its future sees: it wakes all of them, because any
/// of them may be the only one that is still polled.
#[derive(Debug)]
struct Callers(Mutex<Slab<Option<Waker>>>);

impl Callers {
    fn join(&self) -> usize {
        self.with(|callers| callers.insert(None))
    }

    /// Stores the waker of a caller's latest poll.
    fn set_waker(&self, caller: usize, waker: Waker) {
        let old = self.with(|callers| callers.get_mut(caller)?.replace(waker));
        drop(old);
    }

    fn leave(&self, caller: usize) -> (Option<Waker>, usize) {
        self.with(|callers| (callers.remove(caller).flatten(), callers.len()))
    }

    fn wake_all(&self) {
        let mut wakes = WakeList::default();
        self.with(|callers| {
            for (_, waker) in callers.iter_mut() {
                wakes.push(waker.take());
            }
        });
        wakes.wake();
    }

    fn with<R>(&self, f: impl FnOnce(&mut Slab<Option<Waker>>) -> R) -> R {
        f(&mut rt::lock(&self.0))
    }
}

impl Wake for Callers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
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
