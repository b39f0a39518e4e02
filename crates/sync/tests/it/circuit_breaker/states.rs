//! Every event in every state.

use std::sync::Arc;

use steadfast_clock::ManualClock;
use steadfast_sync::{
    BreakerState::{self, Closed, HalfOpen, Isolated, Open},
    CircuitBreaker,
    Verdict::{self, Counted, Stale},
};

use crate::support::{EPOCH, millis};

#[derive(Clone, Copy, Debug)]
enum Event {
    Acquire,
    /// Verdicts on a permit of this state, or where there is none, of the one before.
    Success,
    SlowSuccess,
    Failure,
    Ignore,
    Abandon,
    /// A verdict on a permit of an earlier closed state.
    Late,
    TimePasses,
    Isolate,
    Close,
}

use Event::{
    Abandon, Acquire, Close, Failure, Ignore, Isolate, Late, SlowSuccess, Success, TimePasses,
};

/// What comes of it: the state after, whether a caller was let through, what became of a verdict.
type Row = (
    BreakerState,
    Event,
    BreakerState,
    Option<bool>,
    Option<Verdict>,
);

const TABLE: &[Row] = &[
    (Closed, Acquire, Closed, Some(true), None),
    (Closed, Success, Closed, None, Some(Counted)),
    (Closed, SlowSuccess, Open, None, Some(Counted)),
    (Closed, Failure, Open, None, Some(Counted)),
    (Closed, Ignore, Closed, None, Some(Counted)),
    (Closed, Abandon, Closed, None, None),
    (Closed, Late, Closed, None, Some(Stale)),
    (Closed, TimePasses, Closed, None, None),
    (Closed, Isolate, Isolated, None, None),
    (Closed, Close, Closed, None, None),
    (Open, Acquire, Open, Some(false), None),
    (Open, Success, Open, None, Some(Stale)),
    (Open, SlowSuccess, Open, None, Some(Stale)),
    (Open, Failure, Open, None, Some(Stale)),
    (Open, Ignore, Open, None, Some(Stale)),
    (Open, Abandon, Open, None, None),
    (Open, Late, Open, None, Some(Stale)),
    (Open, TimePasses, HalfOpen, None, None),
    (Open, Isolate, Isolated, None, None),
    (Open, Close, Closed, None, None),
    (HalfOpen, Acquire, HalfOpen, Some(true), None),
    (HalfOpen, Success, Closed, None, Some(Counted)),
    (HalfOpen, SlowSuccess, Open, None, Some(Counted)),
    (HalfOpen, Failure, Open, None, Some(Counted)),
    (HalfOpen, Ignore, HalfOpen, None, Some(Counted)),
    (HalfOpen, Abandon, HalfOpen, None, None),
    (HalfOpen, Late, HalfOpen, None, Some(Stale)),
    (HalfOpen, TimePasses, HalfOpen, None, None),
    (HalfOpen, Isolate, Isolated, None, None),
    (HalfOpen, Close, Closed, None, None),
    (Isolated, Acquire, Isolated, Some(false), None),
    (Isolated, Success, Isolated, None, Some(Stale)),
    (Isolated, SlowSuccess, Isolated, None, Some(Stale)),
    (Isolated, Failure, Isolated, None, Some(Stale)),
    (Isolated, Ignore, Isolated, None, Some(Stale)),
    (Isolated, Abandon, Isolated, None, None),
    (Isolated, Late, Isolated, None, Some(Stale)),
    (Isolated, TimePasses, Isolated, None, None),
    (Isolated, Isolate, Isolated, None, None),
    (Isolated, Close, Closed, None, None),
];

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    assert_eq!(TABLE.len(), 4 * 10);
    for &(state, event, after, let_through, verdict) in TABLE {
        let clock = Arc::new(ManualClock::new(EPOCH));
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .slow_call_rate(1.0, millis(100))
            .minimum_calls(1)
            .open_for(millis(1_000))
            .clock(clock.clone())
            .build()
            .unwrap();
        let late = breaker.try_acquire().unwrap();
        breaker.close();
        let mut permit = breaker.try_acquire().unwrap();
        if state == Open || state == HalfOpen {
            let _ = breaker.try_acquire().unwrap().failure();
        }
        if state == HalfOpen {
            clock.advance(millis(1_000));
            assert_eq!(breaker.state(), HalfOpen);
            if matches!(event, Success | SlowSuccess | Failure | Ignore | Abandon) {
                permit = breaker.try_acquire().unwrap();
            }
        }
        if state == Isolated {
            breaker.isolate();
        }
        let (mut admitted, mut judged) = (None, None);
        match event {
            Acquire => admitted = Some(breaker.try_acquire().is_ok()),
            Success => judged = Some(permit.success()),
            SlowSuccess => {
                clock.advance(millis(100));
                judged = Some(permit.success());
            }
            Failure => judged = Some(permit.failure()),
            Ignore => judged = Some(permit.ignore()),
            Abandon => drop(permit),
            Late => judged = Some(late.failure()),
            TimePasses => clock.advance(millis(1_000)),
            Isolate => breaker.isolate(),
            Close => breaker.close(),
        }
        let came_of_it = (breaker.state(), admitted, judged);
        assert_eq!(
            came_of_it,
            (after, let_through, verdict),
            "{state:?} {event:?}"
        );
    }
}
