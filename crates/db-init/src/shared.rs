use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadfast_clock::Clock;
use steadfast_sync::{CircuitBreaker, Retry};
use tokio::sync::{self, watch};

use crate::{Backend, InitError, MigrationSet, Status, alert::Failures};

/// What a [`Database`](crate::Database) shares with its attempts, which outlive the call that
/// began them.
pub(crate) struct Shared<B: Backend> {
    pub(crate) backend: B,
    pub(crate) migrations: MigrationSet,
    pub(crate) retry: Retry,
    pub(crate) breaker: CircuitBreaker,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) failures: Failures,
    /// Held by whoever opens or closes a pool: one at a time.
    turn: sync::Mutex<()>,
    /// The pool that exists, published or not, and the generation that opened it. Only changed
    /// under the turn, but for a close that has run out of patience.
    open: Mutex<Option<(u64, B::Pool)>>,
    /// The newest generation that a close has stopped; it and those before it neither publish
    /// nor leave a pool open.
    stopped: watch::Sender<u64>,
    /// The number of calls to close that are at work.
    closers: watch::Sender<usize>,
    status: watch::Sender<Status>,
}

impl<B: Backend> Shared<B> {
    pub(crate) fn new(
        backend: B,
        migrations: MigrationSet,
        retry: Retry,
        breaker: CircuitBreaker,
        clock: Arc<dyn Clock>,
        failures: Failures,
    ) -> Self {
        Self {
            backend,
            migrations,
            retry,
            breaker,
            clock,
            failures,
            turn: sync::Mutex::default(),
            open: Mutex::new(None),
            stopped: watch::Sender::new(0),
            closers: watch::Sender::new(0),
            status: watch::Sender::new(Status::Idle),
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Changes the status unless a close is at work, which then speaks.
    pub(crate) fn publish(&self, next: impl FnOnce(&Status) -> Option<Status>) {
        self.status.send_if_modified(|status| {
            if self.is_closing() {
                return false;
            }
            let Some(next) = next(status) else {
                return false;
            };
            *status = next;
            true
        });
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closers.borrow() > 0
    }

    pub(crate) async fn not_closing(&self) {
        if self.is_closing() {
            // The sender is in `self`, so the channel cannot close.
            let _ = self.closers.subscribe().wait_for(|count| *count == 0).await;
        }
    }

    /// Changes the status as a generation at work, unless it has been stopped.
    pub(crate) fn publish_from(&self, generation: u64, next: Status) {
        // A close stops the generation before it changes the status, which is locked here.
        self.publish(|_| (!self.is_stopped(generation)).then_some(next));
    }

    pub(crate) fn is_stopped(&self, generation: u64) -> bool {
        *self.stopped.borrow() >= generation
    }

    pub(crate) async fn stopped(&self, generation: u64) {
        let mut stopped = self.stopped.subscribe();
        // The sender is in `self`, so the channel cannot close.
        let _ = stopped.wait_for(|newest| *newest >= generation).await;
    }

    /// Tells this generation and those before it to stop.
    pub(crate) fn stop(&self, newest: u64) {
        self.stopped.send_if_modified(|stopped| {
            let is_new = newest > *stopped;
            *stopped = newest.max(*stopped);
            is_new
        });
    }

    pub(crate) fn set_open(&self, generation: u64, pool: B::Pool) {
        *locked(&self.open) = Some((generation, pool));
    }

    pub(crate) fn take_open(&self) -> Option<B::Pool> {
        locked(&self.open).take().map(|(_, pool)| pool)
    }

    /// The pool that this generation has opened, which stays where a close finds it.
    pub(crate) fn open_of(&self, generation: u64) -> Option<B::Pool> {
        let open = locked(&self.open);
        let own = open.as_ref().filter(|open| open.0 == generation);
        own.map(|(_, pool)| pool.clone())
    }

    /// The pool that this generation has opened. A generation that was stopped may get its turn
    /// late, and finds the pool of a newer one, which is none of its business.
    pub(crate) fn take_open_of(&self, generation: u64) -> Option<B::Pool> {
        let is_own = |open: &mut (u64, B::Pool)| open.0 == generation;
        locked(&self.open).take_if(is_own).map(|(_, pool)| pool)
    }

    /// The turn to open a pool: waits until nobody opens or closes one.
    pub(crate) async fn turn_to_open(&self, generation: u64) -> OpeningTurn<'_, B> {
        loop {
            self.not_closing().await;
            let turn = self.turn_to_close().await;
            if !self.is_closing() {
                return OpeningTurn {
                    shared: self,
                    generation,
                    keeps_open: false,
                    _turn: turn,
                };
            }
        }
    }

    /// The turn to close a pool: waits until nobody opens or closes one.
    pub(crate) async fn turn_to_close(&self) -> sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Tells the callers that come from now on to wait, and the generations up to the newest to
    /// stop.
    pub(crate) fn begin_closing(&self, newest: impl FnOnce() -> u64) -> Closing<'_, B> {
        self.closers.send_modify(|count| *count += 1);
        // Looked up now: one that begins later cannot get a turn.
        self.stop(newest());
        let mut closing = Closing {
            shared: self,
            generation: 0,
        };
        self.status.send_if_modified(|status| match *status {
            Status::Connecting { generation, .. }
            | Status::Migrating { generation, .. }
            | Status::Ready { generation } => {
                closing.generation = generation;
                *status = Status::Closing { generation };
                true
            }
            Status::Failed { generation, .. } => {
                *status = Status::Closing { generation };
                true
            }
            Status::Idle | Status::Closing { .. } | Status::Closed { .. } => false,
        });
        closing
    }
}

/// A generation's exclusive right to open a pool. What it has opened is dropped when the right
/// ends, unless it is to be kept.
pub(crate) struct OpeningTurn<'a, B: Backend> {
    shared: &'a Shared<B>,
    generation: u64,
    keeps_open: bool,
    _turn: sync::MutexGuard<'a, ()>,
}

impl<B: Backend> OpeningTurn<'_, B> {
    pub(crate) fn keep_open(&mut self) {
        self.keeps_open = true;
    }
}

impl<B: Backend> Drop for OpeningTurn<'_, B> {
    fn drop(&mut self) {
        if !self.keeps_open {
            drop(self.shared.take_open_of(self.generation));
        }
    }
}

/// One call to close; the last one to end says that the database is closed.
pub(crate) struct Closing<'a, B: Backend> {
    shared: &'a Shared<B>,
    generation: u64,
}

impl<B: Backend> Closing<'_, B> {
    /// The generation that is being closed, 0 if there is nothing to close.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

impl<B: Backend> Drop for Closing<'_, B> {
    fn drop(&mut self) {
        let Shared {
            closers, status, ..
        } = self.shared;
        // Counted while the status is locked: of two that end at once, one finds itself the last.
        status.send_if_modified(|status| {
            closers.send_if_modified(|count| {
                *count -= 1;
                false
            });
            match *status {
                Status::Closing { generation } if !self.shared.is_closing() => {
                    *status = Status::Closed { generation };
                    true
                }
                _ => false,
            }
        });
        // Told when nothing is locked: who waits for the end of the close finds the status.
        closers.send_modify(|_| {});
    }
}

/// Why a generation failed, with its number.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) generation: u64,
    pub(crate) error: Arc<InitError>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
