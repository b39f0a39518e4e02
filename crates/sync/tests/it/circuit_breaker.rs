mod changes;
mod model;
mod states;
mod waiting;

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering},
};

use steadfast_clock::ManualClock;
use steadfast_sync::{
    AbandonPolicy, BreakerState, CallError, CircuitBreaker, CircuitBreakerBuilder, Verdict,
};

use tokio::task::JoinSet;

use crate::support::{EPOCH, millis};

fn clock_and_builder() -> (Arc<ManualClock>, CircuitBreakerBuilder) {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = CircuitBreaker::builder()
        .consecutive_failures(3)
        .open_for(millis(1_000))
        .clock(clock.clone());
    (clock, builder)
}

fn trip(breaker: &CircuitBreaker) {
    for _ in 0..3 {
        let _ = breaker.try_acquire().unwrap().failure();
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let (_, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    for _ in 0..2 {
        let _ = breaker.try_acquire().unwrap().failure();
        let _ = breaker.try_acquire().unwrap().failure();
        let _ = breaker.try_acquire().unwrap().success();
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    trip(&breaker);
}

#[test]
fn open_breaker_says_when_to_ask_again_and_is_half_open_then() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    trip(&breaker);
    clock.advance(millis(400));
    let retry_after = breaker.try_acquire().unwrap_err().retry_after;
    assert_eq!(retry_after, Some(millis(600)));
    clock.advance(millis(600));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.try_acquire().unwrap().success(), Verdict::Counted);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn row_07_half_open_admits_exactly_n_of_a_hundred() {
    for permits in [1, 3, 7] {
        let (clock, builder) = clock_and_builder();
        let breaker = builder.half_open_permits(permits).build().unwrap();
        trip(&breaker);
        clock.advance(millis(1_000));
        let (admitted, start, end) = (AtomicUsize::new(0), Barrier::new(100), Barrier::new(100));
        std::thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    start.wait();
                    let permit = breaker.try_acquire();
                    admitted.fetch_add(usize::from(permit.is_ok()), Ordering::SeqCst);
                    end.wait();
                });
            }
        });
        assert_eq!(admitted.load(Ordering::SeqCst), permits as usize);
    }
}

#[test]
fn half_open_closes_after_all_successes_and_opens_at_the_first_failure() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.half_open_permits(2).build().unwrap();
    trip(&breaker);
    clock.advance(millis(1_000));
    let _ = breaker.try_acquire().unwrap().success();
    let (second, third) = (breaker.try_acquire().unwrap(), breaker.try_acquire());
    assert!(third.is_err(), "one has succeeded and one is out");
    let _ = second.failure();
    assert_eq!(breaker.state(), BreakerState::Open);

    clock.advance(millis(1_000));
    let (a, b) = (
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    );
    let _ = (a.success(), b.success());
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn late_verdict_of_an_older_epoch_changes_nothing() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    let (good, bad) = (
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    );
    trip(&breaker);
    assert_eq!(good.success(), Verdict::Stale);
    assert_eq!(breaker.state(), BreakerState::Open);
    clock.advance(millis(1_000));
    let probe = breaker.try_acquire().unwrap();
    assert_eq!(bad.failure(), Verdict::Stale);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(
        breaker.try_acquire().is_err(),
        "a stale verdict frees no slot"
    );
    assert_eq!(probe.success(), Verdict::Counted);
    assert_eq!(
        (breaker.state(), breaker.stale_verdicts()),
        (BreakerState::Closed, 2)
    );
}

#[test]
fn permit_of_an_older_half_open_state_frees_no_slot_of_this_one() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.half_open_permits(1).build().unwrap();
    trip(&breaker);
    clock.advance(millis(1_000));
    let old = breaker.try_acquire().unwrap();
    clock.advance(millis(1_000));
    assert_eq!(
        breaker.state(),
        BreakerState::Open,
        "no verdict came in time"
    );
    clock.advance(millis(1_000));
    let _new = breaker.try_acquire().unwrap();
    drop(old);
    assert!(breaker.try_acquire().is_err());
}

#[test]
fn half_open_breaker_that_waits_for_no_verdict_stays_half_open() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.half_open_permits(2).build().unwrap();
    trip(&breaker);
    clock.advance(millis(1_000));
    for _ in 0..2 {
        for _ in 0..5 {
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
            clock.advance(millis(1_000));
        }
        let permit = breaker.try_acquire().expect("calls are rare, not failing");
        assert_eq!(permit.success(), Verdict::Counted);
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn time_for_a_verdict_counts_from_when_the_permit_was_given() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.half_open_for(millis(500)).build().unwrap();
    trip(&breaker);
    clock.advance(millis(1_000));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    clock.advance(millis(400));
    let permit = breaker.try_acquire().unwrap();
    clock.advance(millis(499));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    let retry_after = breaker.try_acquire().unwrap_err().retry_after;
    assert_eq!(retry_after, Some(millis(1)));
    clock.advance(millis(1));
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(permit.success(), Verdict::Stale);
}

#[test]
fn dropped_permit_frees_its_slot() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    trip(&breaker);
    clock.advance(millis(1_000));
    for _ in 0..10 {
        drop(breaker.try_acquire().unwrap());
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn dropped_permit_is_a_failure_where_the_policy_says_so() {
    let (_, builder) = clock_and_builder();
    let breaker = builder.on_abandon(AbandonPolicy::Failure).build().unwrap();
    for _ in 0..3 {
        drop(breaker.try_acquire().unwrap());
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn isolated_breaker_stays_so_until_it_is_closed() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    let permit = breaker.try_acquire().unwrap();
    breaker.isolate();
    clock.advance(millis(1_000_000));
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after, None);
    assert_eq!(permit.success(), Verdict::Stale);
    breaker.close();
    assert_eq!(breaker.try_acquire().unwrap().success(), Verdict::Counted);
}

#[tokio::test]
async fn call_judges_by_the_classifier_and_is_not_begun_while_open() {
    let (_, builder) = clock_and_builder();
    let breaker = builder.consecutive_failures(1).build().unwrap();
    let is_failure = |error: &&str| *error == "down";
    let call = |outcome: Result<u8, &'static str>| breaker.call(async move { outcome }, is_failure);
    assert_eq!(call(Ok(1)).await, Ok(1));
    assert_eq!(
        call(Err("not found")).await,
        Err(CallError::Failed("not found"))
    );
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(call(Err("down")).await, Err(CallError::Failed("down")));
    let begun = breaker.call(async { panic!("begun") }, is_failure);
    assert!(matches!(begun.await, Err::<u8, _>(CallError::Open(_))));
}

#[tokio::test]
async fn call_that_panics_is_abandoned() {
    let (_, builder) = clock_and_builder();
    let builder = builder.consecutive_failures(1);
    let breaker = Arc::new(builder.on_abandon(AbandonPolicy::Failure).build().unwrap());
    let other = Arc::clone(&breaker);
    let call = async move { other.call(async { panic!("on purpose") }, |()| true).await };
    let mut tasks = JoinSet::new();
    tasks.spawn(call);
    let panicked: Result<Result<(), _>, _> = tasks.join_next().await.unwrap();
    assert!(panicked.unwrap_err().is_panic());
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn ignored_call_counts_for_nothing_and_frees_its_slot_whatever_the_policy() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.on_abandon(AbandonPolicy::Failure).build().unwrap();
    for _ in 0..5 {
        assert_eq!(breaker.try_acquire().unwrap().ignore(), Verdict::Counted);
    }
    trip(&breaker);
    clock.advance(millis(1_000));
    for _ in 0..5 {
        assert_eq!(breaker.try_acquire().unwrap().ignore(), Verdict::Counted);
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn rate_opens_it_at_exactly_that_part_of_the_calls() {
    // 0.07 times 100 is more than 7.
    let (_, builder) = clock_and_builder();
    let builder = builder.consecutive_failures(100).failure_rate(0.07);
    let breaker = builder
        .count_window(100)
        .minimum_calls(100)
        .build()
        .unwrap();
    for call in 0..100 {
        assert_eq!(breaker.state(), BreakerState::Closed, "call {call}");
        let permit = breaker.try_acquire().unwrap();
        let _ = if call < 93 {
            permit.success()
        } else {
            permit.failure()
        };
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn rate_alone_is_the_only_condition() {
    let (clock, _) = clock_and_builder();
    let builder = CircuitBreaker::builder().failure_rate(1.0).clock(clock);
    let breaker = builder.build().unwrap();
    for _ in 0..19 {
        let _ = breaker.try_acquire().unwrap().failure();
    }
    assert_eq!(
        breaker.state(),
        BreakerState::Closed,
        "fewer than the minimum"
    );
    let _ = breaker.try_acquire().unwrap().failure();
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn open_time_grows_while_it_opens_again_and_starts_over_once_closed() {
    let (clock, builder) = clock_and_builder();
    let builder = builder.consecutive_failures(1);
    let breaker = builder.open_growth(3.0, millis(5_000)).build().unwrap();
    let opens_for = || {
        let _ = breaker.try_acquire().unwrap().failure();
        let open_for = breaker.snapshot().retry_after.unwrap();
        clock.advance(open_for);
        open_for
    };
    for _ in 0..2 {
        for open_for in [1_000, 3_000, 5_000, 5_000] {
            assert_eq!(opens_for(), millis(open_for));
        }
        let _ = breaker.try_acquire().unwrap().success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
    assert_eq!((opens_for(), opens_for()), (millis(1_000), millis(3_000)));
    breaker.close();
    assert_eq!(opens_for(), millis(1_000), "closed by hand");
}

#[test]
fn snapshot_tells_the_state_the_window_and_the_totals() {
    let (clock, builder) = clock_and_builder();
    let builder = builder.half_open_permits(3).count_window(4);
    let breaker = builder.build().unwrap();
    let stale = breaker.try_acquire().unwrap();
    let _ = breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.snapshot().failure_rate, Some(0.0));
    trip(&breaker);
    clock.advance(millis(300));
    let _ = stale.success();
    assert!(breaker.try_acquire().is_err());
    let seen = breaker.snapshot();
    assert_eq!(
        (seen.state, seen.state_age),
        (BreakerState::Open, millis(300))
    );
    assert_eq!((seen.epoch, seen.opened), (1, 1));
    assert_eq!((seen.rejected, seen.stale_verdicts), (1, 1));
    assert_eq!(seen.retry_after, Some(millis(700)));
    assert_eq!(
        (seen.consecutive_failures, seen.calls, seen.failures),
        (3, 4, 3)
    );
    assert_eq!(
        (seen.failure_rate, seen.slow_call_rate),
        (Some(0.75), Some(0.0))
    );
    clock.advance(millis(700));
    let _ = breaker.try_acquire().unwrap().success();
    let _out = breaker.try_acquire().unwrap();
    let seen = breaker.snapshot();
    assert_eq!(seen.state, BreakerState::HalfOpen);
    assert_eq!((seen.half_open_pending, seen.half_open_succeeded), (1, 1));
    assert_eq!(seen.retry_after, None, "one slot is free");
}
