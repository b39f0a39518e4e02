//! Row 7: a breaker that asks only whether it is open lets everybody through while half-open.

use std::{sync::Arc, thread};

use steadfast_clock::ManualClock;
use steadfast_sync::CircuitBreaker;

use super::Checked;
use crate::support::{EPOCH, millis};

const PERMITS: usize = 3;
const CALLERS: usize = 100;

/// Of many callers at once, as many as there are permits get one.
fn check<P: Send>(try_acquire: impl Fn() -> Option<P> + Sync) -> Checked {
    let admitted = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(&try_acquire)).collect();
        let permits: Vec<_> = callers
            .into_iter()
            .filter_map(|c| c.join().unwrap())
            .collect();
        permits.len()
    });
    if admitted == PERMITS {
        Ok(())
    } else {
        Err(format!("{admitted} of {CALLERS} were admitted"))
    }
}

#[derive(PartialEq)]
enum State {
    Open,
    HalfOpen,
}

#[test]
fn row_07_half_open_for_everybody_is_found_and_the_breaker_has_none() {
    let mut state = State::Open;
    assert!((state != State::Open).then_some(()).is_none());
    state = State::HalfOpen;
    let fault = check(|| (state != State::Open).then_some(())).unwrap_err();
    assert_eq!(fault, "100 of 100 were admitted");

    let clock = Arc::new(ManualClock::new(EPOCH));
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(millis(10))
        .half_open_permits(PERMITS as u32)
        .clock(clock.clone())
        .build()
        .unwrap();
    let _ = breaker.try_acquire().unwrap().failure();
    clock.advance(millis(10));
    assert_eq!(check(|| breaker.try_acquire().ok()), Ok(()));
}
