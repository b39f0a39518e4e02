//! Recorded histories of concurrent callers are linearizable: some order of the operations, one
//! after the other, explains every outcome. Here the threads are real, and how they interleave is
//! up to the machine; `tests/schedules` does the same under a checker that chooses.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Barrier},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use steadfast_sync::{AsyncLock, Semaphore};

use self::{
    breaker::RecordedBreaker,
    checker::{Operation, Spec, check},
    line::{Call, Line, LockOfKey, Recorded, Refusal},
};
use crate::support::Random;

pub(crate) mod breaker;
pub(crate) mod checker;
pub(crate) mod line;

const THREADS: usize = 3;
const ROUNDS: usize = 200;

/// A register that holds a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Register(u8);

#[derive(Clone, Copy, Debug)]
enum Access {
    Write(u8),
    Read(u8),
}

impl Spec for Register {
    type Call = Access;

    fn apply(&self, call: &Access) -> Vec<Self> {
        match *call {
            Access::Write(value) => vec![Register(value)],
            Access::Read(value) if value == self.0 => vec![self.clone()],
            Access::Read(_) => Vec::new(),
        }
    }
}

fn is_linearizable(history: &[(usize, usize, Access)]) -> bool {
    let operations = history
        .iter()
        .map(|&(invoked, returned, call)| Operation {
            call,
            invoked,
            returned,
        })
        .collect();
    check(Register(0), operations).is_ok()
}

#[test]
fn overlapping_reads_may_see_the_old_and_the_new_value() {
    use Access::{Read, Write};
    let history = [(0, 9, Write(1)), (1, 2, Read(0)), (3, 4, Read(1))];
    assert!(is_linearizable(&history));
    assert!(is_linearizable(&[(0, 3, Write(1)), (1, 2, Read(0))]));
    assert!(is_linearizable(&[]));
}

#[test]
fn order_of_what_does_not_overlap_is_respected() {
    use Access::{Read, Write};
    assert!(!is_linearizable(&[(0, 1, Write(1)), (2, 3, Read(0))]));
    // New, then old again.
    let history = [(0, 9, Write(1)), (1, 2, Read(1)), (3, 4, Read(0))];
    assert!(!is_linearizable(&history));
    // A value that nobody wrote.
    assert!(!is_linearizable(&[(0, 9, Write(1)), (1, 2, Read(2))]));
}

#[test]
fn operations_that_all_overlap_are_decided_by_what_was_tried_before() {
    use Access::{Read, Write};
    // Fourteen writes have 14! orders, but no more than 3 · 2¹⁴ outcomes.
    let writes = (0..14).map(|i| (i, 100 + i, Write((i % 3) as u8)));
    let history: Vec<_> = writes.chain([(200, 201, Read(7))]).collect();
    assert!(!is_linearizable(&history));
    assert!(is_linearizable(&history[..14]));
}

/// A history of one line, checked against a capacity of one.
fn explains(calls: &[(usize, usize, Call)]) -> bool {
    let operations = calls.iter().map(|(invoked, returned, call)| Operation {
        call: call.clone(),
        invoked: *invoked,
        returned: *returned,
    });
    check(line::LineSpec::new(1), operations.collect()).is_ok()
}

#[test]
fn callers_that_queued_one_after_the_other_are_served_in_that_order() {
    let queued = [
        (0, 1, Call::TryTake(1, Ok(()))),
        (2, 3, Call::Request(1, 1)),
        (4, 5, Call::Request(2, 1)),
        (6, 7, Call::GiveBack(1)),
    ];
    let served = |caller, at| (at, at + 1, Call::Outcome(caller, Ok(())));
    let (first, second) = (served(1, 8), served(2, 8));
    assert!(explains(&[&queued[..], &[first]].concat()));
    assert!(!explains(&[&queued[..], &[second]].concat()));
}

#[test]
fn trying_past_a_waiter_and_two_holders_at_once_are_violations() {
    let took = |at| (at, at + 1, Call::TryTake(1, Ok(())));
    let queued = [took(0), (2, 3, Call::Request(1, 1))];
    let released = (4, 5, Call::GiveBack(1));
    let refused = (6, 7, Call::TryTake(1, Err(Refusal::Unavailable)));
    assert!(explains(
        &[&queued[..], &[released.clone(), refused]].concat()
    ));
    assert!(!explains(&[&queued[..], &[released, took(6)]].concat()));
    assert!(!explains(&[took(0), took(2)]));
}

/// Blocks the thread on a future, without a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Runs `user` on every thread at once, with a random number each.
fn race(random: &mut Random, user: impl Fn(Random) + Sync) {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let random = random.fork();
            scope.spawn(|| {
                start.wait();
                user(random);
            });
        }
    });
}

fn use_line<L: Line>(recorded: &Recorded<L>, capacity: usize, mut random: Random) {
    for _ in 0..3 {
        let units = 1 + random.below(capacity);
        let held = match random.below(4) {
            0 => recorded.try_take(units),
            1 => block_on(recorded.take(units, 1)),
            _ => block_on(recorded.take(units, usize::MAX)),
        };
        if let Some(held) = held {
            thread::yield_now();
            recorded.give_back(held, units);
        }
    }
}

#[test]
fn lock_is_linearizable_on_real_threads() {
    let mut random = Random::seeded();
    for _ in 0..ROUNDS {
        let recorded = Recorded::new(LockOfKey(AsyncLock::new(), 1));
        race(&mut random, |random| use_line(&recorded, 1, random));
        recorded.check(1).unwrap();
    }
}

#[test]
fn semaphore_is_linearizable_on_real_threads() {
    let mut random = Random::seeded();
    for _ in 0..ROUNDS {
        let recorded = Recorded::new(Semaphore::new(3).unwrap());
        race(&mut random, |mut random| {
            let capacity = 1 + random.below(4);
            match random.below(9) {
                0 => recorded.change(Call::Close, Semaphore::close),
                1..4 => recorded.change(Call::SetCapacity(capacity), |line| {
                    line.set_capacity(capacity).unwrap();
                }),
                _ => {}
            }
            use_line(&recorded, 3, random);
        });
        recorded.check(3).unwrap();
    }
}

#[test]
fn breaker_is_linearizable_on_real_threads() {
    let mut random = Random::seeded();
    for _ in 0..ROUNDS {
        let recorded = RecordedBreaker::new();
        race(&mut random, |mut random| {
            for _ in 0..5 {
                recorded.act(random.below(12), random.below(8));
            }
        });
        recorded.check().unwrap();
    }
}
