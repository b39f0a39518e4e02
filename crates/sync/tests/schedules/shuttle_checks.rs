//! Checks under shuttle: very many random schedules of several callers each. All randomness is
//! shuttle's, so that a schedule that failed can be replayed.

use std::{
    env,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use shuttle::{
    Config, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, ReplayScheduler},
    thread,
};
use steadfast_clock::{Clock, Instant, ManualClock};

#[path = "../it/linearizability/breaker.rs"]
mod breaker;
#[path = "../it/linearizability/checker.rs"]
mod checker;
#[path = "../it/linearizability/line.rs"]
mod line;

mod async_lock;
mod circuit_breaker;
mod linearizability;
mod paced;
mod rate_limiter;
mod semaphore;
mod single_flight;
mod specimens;

/// How many schedules each scheduler tries, unless `STEADFAST_SHUTTLE_ITERATIONS` says otherwise.
const ITERATIONS: usize = 10_000;

/// How many ordering constraints a fault may need for PCT to find it (its paper calls it the depth
/// of the bug).
const DEPTH: usize = 3;

/// Runs a check under very many schedules: each step's thread chosen at random, and then by PCT
/// (Burckhardt and others, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
/// ASPLOS 2010). With `STEADFAST_SHUTTLE_SCHEDULE` it runs that schedule only.
fn explore(check: impl Fn() + Send + Sync + 'static) {
    let check = Arc::new(check);
    let run = || {
        let check = Arc::clone(&check);
        move || check()
    };
    let mut config = Config::new();
    // The search through a history is recursive.
    config.stack_size = 1 << 20;
    if let Ok(schedule) = env::var("STEADFAST_SHUTTLE_SCHEDULE") {
        let scheduler = ReplayScheduler::new_from_encoded(schedule.trim());
        Runner::new(scheduler, config).run(run());
        return;
    }
    let iterations = env::var("STEADFAST_SHUTTLE_ITERATIONS");
    let iterations = iterations.map_or(ITERATIONS, |iterations| iterations.parse().unwrap());
    Runner::new(RandomScheduler::new(iterations), config.clone()).run(run());
    Runner::new(PctScheduler::new(DEPTH, iterations), config).run(run());
}

/// Runs so many callers at once, each with its number.
fn race(callers: usize, call: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for caller in 0..callers {
            let call = &call;
            scope.spawn(move || call(caller));
        }
    });
}

/// A random number below `end`.
fn below(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// Polls a future at most so many times, each time when it was woken, and drops it then.
async fn at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How many polls a caller has patience for: few, or any number.
fn patience() -> usize {
    match below(5) {
        polls @ 0..3 => polls,
        _ => usize::MAX,
    }
}

fn assert_says(value: &impl std::fmt::Debug, facts: &[&str]) {
    let debug = format!("{value:?}");
    for fact in facts {
        assert!(debug.contains(fact), "{debug}");
    }
}

/// A clock that moves on a little each time it is read, so that whoever waits for a time gets
/// there.
#[derive(Debug)]
struct SteppingClock {
    clock: ManualClock,
    step: Duration,
}

impl SteppingClock {
    fn new(step: Duration) -> Arc<Self> {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        Arc::new(Self { clock, step })
    }
}

impl Clock for SteppingClock {
    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    fn monotonic(&self) -> Instant {
        self.clock.advance(self.step);
        self.clock.monotonic()
    }
}
