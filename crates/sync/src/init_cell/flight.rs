use std::{
    any::Any,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Wake, Waker},
    thread::ThreadId,
};

use crate::{InitError, slab::Slab, wait_queue::WakeList};

pub(super) type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// How an attempt ended, for everybody who joined it.
pub(super) type Outcome<T, E> = Result<Arc<T>, InitError<E>>;

/// One attempt at initialisation, shared by the callers that joined it.
#[derive(Debug)]
pub(super) struct Flight<T, E> {
    pub(super) generation: u64,
    pub(super) outcome: OnceLock<Outcome<T, E>>,
    pub(super) callers: Arc<Callers>,
}

impl<T, E> Flight<T, E> {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation,
            outcome: OnceLock::new(),
            callers: Arc::new(Callers(Mutex::new(Slab::new()))),
        }
    }
}

/// Where the attempt's future is at the moment.
pub(super) enum Seat<T, E> {
    /// Nobody polls it.
    Parked(BoxFuture<T, E>),
    /// A caller polls it, on this thread.
    Polled(ThreadId),
}

/// The callers of an attempt, and the waker that its future sees: it wakes all of them, because
/// any of them may be the only one that is still polled.
#[derive(Debug)]
pub(super) struct Callers(Mutex<Slab<Option<Waker>>>);

impl Callers {
    pub(super) fn join(&self) -> usize {
        self.with(|callers| callers.insert(None))
    }

    /// Stores the waker of a caller's latest poll.
    pub(super) fn set_waker(&self, caller: usize, waker: Waker) {
        let old = self.with(|callers| callers.get_mut(caller)?.replace(waker));
        drop(old);
    }

    /// Removes a caller; returns its waker, to be dropped later, and how many are left.
    pub(super) fn leave(&self, caller: usize) -> (Option<Waker>, usize) {
        self.with(|callers| (callers.remove(caller).flatten(), callers.len()))
    }

    pub(super) fn wake_all(&self) {
        let mut wakes = WakeList::default();
        self.with(|callers| {
            for (_, waker) in callers.iter_mut() {
                wakes.push(waker.take());
            }
        });
        wakes.wake();
    }

    fn with<R>(&self, f: impl FnOnce(&mut Slab<Option<Waker>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

/// The error of an attempt that panicked.
pub(super) fn panicked<E>(payload: &(dyn Any + Send)) -> InitError<E> {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    InitError::Panicked {
        message: text.unwrap_or("not a text").into(),
    }
}
