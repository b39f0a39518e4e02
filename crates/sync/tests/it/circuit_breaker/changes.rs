//! Subscriptions to changes of state.

use std::{sync::Arc, task::Poll};

use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_sync::{
    BreakerChange, BreakerChanges,
    BreakerReason::{self, ByHand, OpenTimeOver, ProbeFailed, ProbeOverdue, ProbesSucceeded},
    BreakerState::{self, Closed, HalfOpen, Isolated, Open},
    CHANGES_KEPT, CircuitBreaker, CircuitBreakerBuilder, MissedChanges,
};

use tokio::task::JoinSet;

use crate::support::{Boxed, EPOCH, millis, poll};

fn clock_and_builder() -> (Arc<ManualClock>, CircuitBreakerBuilder) {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = CircuitBreaker::builder()
        .consecutive_failures(1)
        .open_for(millis(1_000))
        .clock(clock.clone());
    (clock, builder)
}

/// What can be told without waiting.
fn told(changes: &mut BreakerChanges) -> Vec<Result<BreakerChange, MissedChanges>> {
    let mut told = Vec::new();
    loop {
        let mut next: Boxed<'_, _> = Box::pin(changes.next());
        match poll(&mut next) {
            Poll::Ready(Some(change)) => told.push(change),
            Poll::Ready(None) | Poll::Pending => return told,
        }
    }
}

fn steps(changes: &mut BreakerChanges) -> Vec<(BreakerState, BreakerState, BreakerReason)> {
    let told = told(changes).into_iter().map(Result::unwrap);
    told.map(|change| (change.from, change.to, change.reason))
        .collect()
}

#[tokio::test]
async fn every_change_is_told_in_order_with_its_reason() {
    let (clock, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    let mut changes = breaker.subscribe();
    let _ = breaker.try_acquire().unwrap().failure();
    clock.advance(millis(1_000));
    let _ = breaker.try_acquire().unwrap().failure();
    clock.advance(millis(1_000));
    let lost = breaker.try_acquire().unwrap();
    clock.advance(millis(1_000));
    assert!(breaker.try_acquire().is_err());
    drop(lost);
    clock.advance(millis(1_000));
    let _ = breaker.try_acquire().unwrap().success();
    breaker.isolate();
    breaker.isolate();
    breaker.close();
    breaker.close();
    let failed = BreakerReason::ConsecutiveFailures { failures: 1 };
    assert_eq!(
        steps(&mut changes),
        [
            (Closed, Open, failed),
            (Open, HalfOpen, OpenTimeOver),
            (HalfOpen, Open, ProbeFailed),
            (Open, HalfOpen, OpenTimeOver),
            (HalfOpen, Open, ProbeOverdue),
            (Open, HalfOpen, OpenTimeOver),
            (HalfOpen, Closed, ProbesSucceeded),
            (Closed, Isolated, ByHand),
            (Isolated, Closed, ByHand),
            (Closed, Closed, ByHand),
        ]
    );
}

#[tokio::test]
async fn reasons_carry_the_figures_of_the_condition_that_was_met() {
    let (clock, builder) = clock_and_builder();
    let builder = builder
        .consecutive_failures(3)
        .failure_rate(0.5)
        .slow_call_rate(0.75, millis(100))
        .count_window(10)
        .minimum_calls(4);
    let breaker = builder.build().unwrap();
    let mut changes = breaker.subscribe();
    let call = |took, succeeds: bool| {
        let permit = breaker.try_acquire().unwrap();
        clock.advance(millis(took));
        let _ = if succeeds {
            permit.success()
        } else {
            permit.failure()
        };
    };
    let mut reason = || steps(&mut changes).last().map(|(.., reason)| *reason);
    for succeeds in [false, true, true] {
        call(0, succeeds);
    }
    assert_eq!(reason(), None, "too few calls");
    call(0, false);
    let (failures, calls) = (2, 4);
    assert_eq!(
        reason(),
        Some(BreakerReason::FailureRate { failures, calls })
    );
    let seen = breaker.snapshot();
    assert_eq!((seen.failure_rate, seen.calls), (Some(0.5), 4));

    breaker.close();
    for took in [100, 99, 100, 300] {
        call(took, true);
    }
    let (slow_calls, calls) = (3, 4);
    assert_eq!(
        reason(),
        Some(BreakerReason::SlowCallRate { slow_calls, calls })
    );

    clock.advance(millis(1_000));
    call(150, true);
    let took = millis(150);
    assert_eq!(reason(), Some(BreakerReason::ProbeSlow { took }));

    breaker.close();
    for _ in 0..3 {
        call(0, false);
    }
    let failures = 3;
    assert_eq!(
        reason(),
        Some(BreakerReason::ConsecutiveFailures { failures })
    );
}

#[tokio::test]
async fn slow_subscriber_is_told_exactly_how_many_it_missed() {
    let (_, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    for gap in [1, 3] {
        let (mut slow, mut exact) = (breaker.subscribe(), breaker.subscribe());
        let seen = breaker.snapshot().epoch;
        for _ in 0..CHANGES_KEPT {
            breaker.close();
        }
        assert!(told(&mut exact).iter().all(Result::is_ok), "all are kept");
        for _ in 0..gap {
            breaker.close();
        }
        let told_slow = told(&mut slow);
        assert_eq!(told_slow[0].unwrap_err().missed, gap);
        let kept = told_slow[1..].iter().map(|change| change.unwrap().epoch);
        let last = seen + gap + CHANGES_KEPT as u64;
        assert!(kept.eq(seen + gap + 1..=last));
    }
}

#[tokio::test]
async fn subscription_begins_with_the_next_change_and_ends_with_the_breaker() {
    let (_, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    breaker.isolate();
    let mut changes = breaker.subscribe();
    breaker.close();
    let mut waiting = breaker.subscribe();
    let mut next: Boxed<'_, _> = Box::pin(waiting.next());
    assert!(poll(&mut next).is_pending());
    drop(breaker);
    assert_eq!(poll(&mut next), Poll::Ready(None));
    assert_eq!(steps(&mut changes), [(Isolated, Closed, ByHand)]);
    assert_eq!(changes.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn subscriber_sees_the_change_that_time_brings_on_time() {
    let (_, builder) = clock_and_builder();
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let breaker = builder.clock(clock).build().unwrap();
    let _ = breaker.try_acquire().unwrap().failure();
    let mut changes = breaker.subscribe();
    let start = SystemClock.monotonic();
    let change = changes.next().await.unwrap().unwrap();
    assert_eq!((change.to, change.at - start), (HalfOpen, millis(1_000)));
}

#[tokio::test]
async fn dropped_wait_loses_no_change() {
    let (_, builder) = clock_and_builder();
    let breaker = builder.build().unwrap();
    let mut changes = breaker.subscribe();
    for epoch in 1..5 {
        let mut next: Boxed<'_, _> = Box::pin(changes.next());
        assert!(poll(&mut next).is_pending());
        breaker.close();
        drop(next);
        let change = changes.next().await.unwrap().unwrap();
        assert_eq!(change.epoch, epoch);
    }
}

/// Several threads change the state while subscribers of different speeds follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscribers_see_every_change_in_order_or_how_many_they_missed() {
    const ROUNDS: u64 = 500;
    const THREADS: u64 = 3;
    let (clock, builder) = clock_and_builder();
    let breaker = Arc::new(builder.build().unwrap());
    let (mut followers, mut changers) = (JoinSet::new(), JoinSet::new());
    for slowness in 0..4 {
        followers.spawn(follow(breaker.subscribe(), slowness * 20));
    }
    for thread in 0..THREADS {
        let (breaker, clock) = (Arc::clone(&breaker), Arc::clone(&clock));
        changers.spawn_blocking(move || {
            for round in 0..ROUNDS {
                match (round + thread) % 4 {
                    0 => breaker.close(),
                    1 => breaker.isolate(),
                    2 => clock.advance(millis(1_000)),
                    _ => {
                        if let Ok(permit) = breaker.try_acquire() {
                            let _ = permit.failure();
                        }
                    }
                }
            }
        });
    }
    changers.join_all().await;
    let epoch = breaker.snapshot().epoch;
    drop(breaker);
    assert_eq!(followers.join_all().await, [epoch; 4]);
}

/// The epoch that a subscriber gets to who takes a break so long after each change.
async fn follow(mut changes: BreakerChanges, pause: u32) -> u64 {
    let (mut seen, mut state) = (0, Some(Closed));
    while let Some(told) = changes.next().await {
        match told {
            Ok(change) => {
                assert_eq!(change.epoch, seen + 1);
                assert!(state.is_none_or(|state| state == change.from));
                (seen, state) = (change.epoch, Some(change.to));
            }
            Err(gap) => (seen, state) = (seen + gap.missed, None),
        }
        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
    }
    seen
}
