use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use shuttle::thread;
use steadfast_clock::ManualClock;
use steadfast_sync::{BreakerState, CircuitBreaker};

use super::{below, explore, race};

const SECOND: Duration = Duration::from_secs(1);
const PERMITS: u32 = 2;

#[test]
fn row_07_half_open_breaker_never_has_more_than_its_permits_out() {
    explore(|| {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .open_for(SECOND)
            .half_open_permits(PERMITS)
            .clock(clock.clone())
            .build()
            .unwrap();
        let _ = breaker.try_acquire().unwrap().failure();
        clock.advance(SECOND);
        let out = AtomicU32::new(0);
        race(5, |_| {
            let Ok(permit) = breaker.try_acquire() else {
                return;
            };
            // A success of its own would let others in; so it is dropped.
            assert!(out.fetch_add(1, Ordering::SeqCst) < PERMITS);
            thread::yield_now();
            out.fetch_sub(1, Ordering::SeqCst);
            drop(permit);
        });
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    });
}

#[test]
fn breaker_that_goes_through_all_its_states_keeps_no_slot() {
    explore(|| {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(2)
            .open_for(SECOND)
            .half_open_permits(PERMITS)
            .clock(clock.clone())
            .build()
            .unwrap();
        race(4, |caller| {
            for _ in 0..4 {
                if caller == 0 {
                    clock.advance(SECOND);
                    if below(4) == 0 {
                        breaker.isolate();
                    }
                    if below(2) == 0 {
                        breaker.close();
                    }
                }
                let Ok(permit) = breaker.try_acquire() else {
                    continue;
                };
                thread::yield_now();
                let _ = match below(4) {
                    0 => return drop(permit),
                    1 => permit.success(),
                    _ => permit.failure(),
                };
            }
        });
        // Whatever state that was: once half-open, it has all its permits.
        breaker.close();
        for _ in 0..2 {
            let _ = breaker.try_acquire().unwrap().failure();
        }
        clock.advance(SECOND);
        let permits = [0, 1].map(|_| breaker.try_acquire().unwrap());
        assert!(breaker.try_acquire().is_err());
        for permit in permits {
            let _ = permit.success();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    });
}
