//! What a breaker or limiter of our own refuses.

use std::{cell::Cell, sync::Arc};

use proptest::prelude::*;
use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{CallError, CircuitBreaker, Decision, RetryBudget, RetryError};

use super::builder;
use crate::support::{EPOCH, millis};

#[tokio::test(start_paused = true)]
async fn rejection_is_waited_for_and_not_charged() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let breaker = CircuitBreaker::builder().consecutive_failures(1);
    let breaker = breaker.open_for(millis(700)).clock(clock.clone());
    let breaker = breaker.build().unwrap();
    let budget = Arc::new(RetryBudget::new(10, 1.0).unwrap());
    let retry = builder()
        .budget(Arc::clone(&budget))
        .initial_delay(millis(1));
    let retry = retry.build().unwrap();
    let calls = Cell::new(0);
    let operation = |_| {
        let call = calls.get() == 0;
        breaker.call(
            async move { if call { Err("down") } else { Ok(()) } },
            |_| {
                calls.set(calls.get() + 1);
                true
            },
        )
    };
    let start = clock.monotonic();
    let run = retry.run(operation, |error: &CallError<&str>| {
        error.decision(|_| Decision::Retry)
    });
    run.await.unwrap();
    let took = clock.monotonic() - start;
    assert!(took >= millis(700) && took < millis(800), "{took:?}");
    assert_eq!(retry.snapshot().attempts, 3, "failed, rejected, succeeded");
    assert_eq!(budget.tokens(), 10, "one was charged and put back");
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_were_rejected_together_do_not_come_back_together() {
    let clock = ManualClock::ticking(EPOCH);
    let start = clock.monotonic();
    let mut returns = Vec::new();
    for seed in 0..50 {
        let retry = builder().seed(seed).initial_delay(millis(100));
        let retry = retry.max_attempts(2).build().unwrap();
        let begun = Cell::new(start);
        let before = clock.monotonic();
        let operation = |_| {
            begun.set(clock.monotonic());
            async { Err::<(), _>("open") }
        };
        let rejected = Decision::Rejected(millis(500));
        retry.run(operation, |_| rejected).await.unwrap_err();
        returns.push(begun.get() - before);
    }
    assert!(
        returns.iter().all(|delay| *delay >= millis(500)),
        "{returns:?}"
    );
    assert!(
        returns.iter().all(|delay| *delay <= millis(601)),
        "{returns:?}"
    );
    assert!(
        returns.iter().any(|delay| *delay < millis(525)),
        "{returns:?}"
    );
    assert!(
        returns.iter().any(|delay| *delay > millis(575)),
        "{returns:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn rejections_without_end_use_up_the_attempts_or_the_time() {
    let budget = Arc::new(RetryBudget::new(1, 1.0).unwrap());
    let operation = |_| async { Err::<(), _>("open") };
    for (wait, deadline, by_deadline) in [(10, 60_000, false), (1_000, 2_500, true)] {
        let retry = builder().budget(Arc::clone(&budget)).max_attempts(5);
        let retry = retry.initial_delay(millis(1)).deadline(millis(deadline));
        let retry = retry.build().unwrap();
        let rejected = Decision::Rejected(millis(wait));
        let error = retry.run(operation, |_| rejected).await.unwrap_err();
        if by_deadline {
            assert!(
                matches!(error, RetryError::Deadline { attempts: 3, .. }),
                "{error}"
            );
        } else {
            assert!(
                matches!(error, RetryError::Exhausted { attempts: 5, .. }),
                "{error}"
            );
        }
    }
    assert_eq!(budget.tokens(), 1);
}

#[tokio::test(start_paused = true)]
async fn isolated_breaker_ends_the_attempts_at_once() {
    let breaker = CircuitBreaker::builder().build().unwrap();
    breaker.isolate();
    let retry = builder().build().unwrap();
    let operation = |_| breaker.call(async { Ok::<(), ()>(()) }, |()| true);
    let run = retry.run(operation, |error| error.decision(|()| Decision::Retry));
    let error = run.await.unwrap_err();
    assert!(
        matches!(error, RetryError::NotRetryable { attempts: 1, .. }),
        "{error}"
    );
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Success,
    Failure,
    Rejection,
    Permanent,
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    let outcome = prop_oneof![
        2 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        1 => Just(Outcome::Rejection),
        1 => Just(Outcome::Permanent),
    ];
    prop::collection::vec(outcome, 1..120)
}

/// gRFC A6 in thousandths of a token, one outcome an attempt: how the runs end, and how many whole
/// tokens are left then.
fn model(max: u64, refill: u64, attempts: u32, script: &[Outcome]) -> Vec<(&'static str, u64)> {
    let (mut tokens, mut attempt, mut ends) = (max, 0, Vec::new());
    for outcome in script {
        attempt += 1;
        let end = match outcome {
            Outcome::Success => {
                tokens = max.min(tokens + refill);
                Some("success")
            }
            Outcome::Permanent => Some("permanent"),
            Outcome::Rejection => (attempt == attempts).then_some("exhausted"),
            Outcome::Failure => {
                tokens = tokens.saturating_sub(1_000);
                if attempt == attempts {
                    Some("exhausted")
                } else {
                    (tokens * 2 <= max).then_some("budget")
                }
            }
        };
        if let Some(end) = end {
            attempt = 0;
            ends.push((end, tokens / 1_000));
        }
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn budget_and_ends_of_runs_are_those_of_the_model(
        script in outcomes(), max in 1_u32..12, refill in 1_u64..1_500, attempts in 1_u32..6
    ) {
        let refill = refill.min(u64::from(max) * 1_000);
        let expected = model(u64::from(max) * 1_000, refill, attempts, &script);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let budget = Arc::new(RetryBudget::new(max, refill as f64 / 1_000.0).unwrap());
        let retry = builder().max_attempts(attempts).initial_delay(millis(1));
        let retry = retry.budget(Arc::clone(&budget)).build().unwrap();
        let mut script = script.into_iter();
        for expected in expected {
            let operation = |_| {
                let outcome = script.next().unwrap();
                let is_success = matches!(outcome, Outcome::Success);
                async move { if is_success { Ok(()) } else { Err(outcome) } }
            };
            let classify = |outcome: &Outcome| match outcome {
                Outcome::Rejection => Decision::Rejected(millis(1)),
                Outcome::Permanent => Decision::Stop,
                _ => Decision::Retry,
            };
            let end = match runtime.block_on(retry.run(operation, classify)) {
                Ok(()) => "success",
                Err(RetryError::NotRetryable { .. }) => "permanent",
                Err(RetryError::BudgetEmpty { .. }) => "budget",
                Err(RetryError::Exhausted { .. }) => "exhausted",
                Err(error) => panic!("{error}"),
            };
            prop_assert_eq!((end, budget.tokens()), expected);
        }
    }
}
