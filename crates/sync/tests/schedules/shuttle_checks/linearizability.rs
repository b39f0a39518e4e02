//! The histories of `tests/it/linearizability`, recorded under schedules that shuttle chooses.

use shuttle::future::block_on;
use steadfast_sync::{AsyncLock, Semaphore};

use super::{
    below,
    breaker::RecordedBreaker,
    explore,
    line::{Call, Line, LockOfKey, Recorded},
    patience, race,
};

fn use_line<L: Line>(recorded: &Recorded<L>, most: usize) {
    for _ in 0..2 {
        let units = 1 + below(most);
        let held = match below(3) {
            0 => recorded.try_take(units),
            _ => block_on(recorded.take(units, patience().max(1))),
        };
        if let Some(held) = held {
            recorded.give_back(held, units);
        }
    }
}

#[test]
fn lock_is_linearizable_and_serves_in_the_order_of_the_queue() {
    explore(|| {
        let recorded = Recorded::new(LockOfKey(AsyncLock::new(), 1));
        race(4, |caller| {
            if caller == 0 && below(4) == 0 {
                recorded.change(Call::Close, |line| line.0.close());
            }
            use_line(&recorded, 1);
        });
        recorded.check(1).unwrap();
    });
}

#[test]
fn semaphore_is_linearizable_and_serves_in_the_order_of_the_queue() {
    explore(|| {
        let recorded = Recorded::new(Semaphore::new(3).unwrap());
        race(4, |caller| match (caller, below(4)) {
            (0, 0) => recorded.change(Call::Close, Semaphore::close),
            (0, capacity) => recorded.change(Call::SetCapacity(capacity), |line| {
                line.set_capacity(capacity).unwrap();
            }),
            _ => use_line(&recorded, 3),
        });
        recorded.check(3).unwrap();
    });
}

#[test]
fn breaker_is_linearizable() {
    explore(|| {
        let recorded = RecordedBreaker::new();
        race(3, |_| {
            for _ in 0..5 {
                recorded.act(below(12), below(8));
            }
        });
        recorded.check().unwrap();
    });
}
