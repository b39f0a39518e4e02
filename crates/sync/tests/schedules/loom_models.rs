//! Models that loom goes through: every order of their steps, but for the bound on preemptions, and
//! for atomics every value that the memory orderings allow a load to see.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use loom::{
    model::Builder,
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, JoinHandle},
};
use steadfast_clock::ManualClock;

mod async_lock;
mod circuit_breaker;
mod flight;
mod init_cell;
mod rate_limiter;
mod retry;
mod semaphore;

/// How often a thread may be taken off in the middle of its work, unless `LOOM_MAX_PREEMPTIONS`
/// says otherwise. Switches where a thread waits are not counted.
const MAX_PREEMPTIONS: usize = 3;

/// Goes through a model.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(MAX_PREEMPTIONS);
    builder.max_branches = builder.max_branches.max(10_000);
    builder.check(model);
}

/// Runs something on a thread of the model.
fn spawn<T: Send + Sync + 'static>(
    shared: &Arc<T>,
    run: impl FnOnce(&T) + Send + 'static,
) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls once, and nobody is told of a wake-up.
fn poll<F: Future + Unpin + ?Sized>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// What only one thread may touch at a time, and what it left has to be visible to the next.
#[derive(Debug, Default)]
struct Exclusive {
    /// Written without regard to others: a load may see any value that is not ordered before it.
    plain: AtomicUsize,
    exact: AtomicUsize,
}

impl Exclusive {
    fn touch(&self) {
        let seen = self.plain.load(Ordering::Relaxed);
        let touches = self.exact.fetch_add(1, Ordering::Relaxed);
        assert_eq!(
            seen, touches,
            "two at once, or the second does not see the first"
        );
        self.plain.store(seen + 1, Ordering::Relaxed);
    }
}

/// A clock that stands still.
fn still_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(std::time::SystemTime::UNIX_EPOCH))
}
