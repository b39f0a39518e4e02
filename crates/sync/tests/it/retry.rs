use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use proptest::prelude::*;
use steadfast_clock::{Clock, ManualClock};
use steadfast_sync::{Decision, Retry, RetryBudget, RetryBuilder, RetryError};

use crate::support::{Boxed, EPOCH, millis, poll};

mod rejection;
mod shared_deadline;
mod snapshot;

fn builder() -> RetryBuilder {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    Retry::builder().clock(clock).max_attempts(6)
}

/// Runs an operation that always fails and returns the delays between its attempts.
async fn delays(retry: &Retry) -> Vec<Duration> {
    let clock = ManualClock::ticking(EPOCH);
    let begun = Mutex::new(Vec::new());
    let operation = |_| {
        begun.lock().unwrap().push(clock.monotonic());
        async { Err::<(), _>("down") }
    };
    let error = retry.run(operation, |_| Decision::Retry).await.unwrap_err();
    assert!(matches!(error, RetryError::Exhausted { .. }), "{error}");
    let begun = begun.into_inner().unwrap();
    begun.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn row_20_delays_double_at_most_and_are_spread_by_full_jitter() {
    let policy = |seed| {
        let builder = builder()
            .initial_delay(millis(100))
            .max_delay(millis(1_000));
        builder.seed(seed).build().unwrap()
    };
    let mut seen = Vec::new();
    for seed in 0..50 {
        let delays = delays(&policy(seed)).await;
        for (delay, ceiling) in delays.iter().zip([100, 200, 400, 800, 1_000]) {
            // Tokio's timers round up to the next millisecond.
            assert!(*delay <= millis(ceiling + 1), "{delay:?} of {ceiling} ms");
        }
        assert_eq!(delays.len(), 5);
        seen.push(delays);
    }
    let firsts: Vec<_> = seen.iter().map(|delays| delays[0]).collect();
    assert!(firsts.iter().any(|delay| *delay < millis(25)), "{firsts:?}");
    assert!(firsts.iter().any(|delay| *delay > millis(75)), "{firsts:?}");
    assert_eq!(
        delays(&policy(7)).await,
        seen[7],
        "the seed makes it reproducible"
    );
    let unseeded = [builder().build().unwrap(), builder().build().unwrap()];
    assert_ne!(delays(&unseeded[0]).await, delays(&unseeded[1]).await);
}

#[tokio::test(start_paused = true)]
async fn success_ends_the_attempts() {
    let retry = builder().build().unwrap();
    let operation = |attempt| async move {
        if attempt < 3 {
            Err("down")
        } else {
            Ok(attempt)
        }
    };
    assert_eq!(retry.run(operation, |_| Decision::Retry).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn failed_attempt_is_dropped_before_the_delay() {
    /// A future that keeps what it holds until it is dropped, also when it is ready.
    struct Attempt(#[expect(dead_code, reason = "held for its count")] Arc<()>);
    impl Future for Attempt {
        type Output = Result<(), &'static str>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(Err("down"))
        }
    }
    let retry = builder().build().unwrap();
    let held = Arc::new(());
    let mut run: Boxed<'_, _> = Box::pin(retry.run(
        |_| Attempt(Arc::clone(&held)),
        |_| Decision::RetryAfter(millis(100)),
    ));
    assert!(poll(&mut run).is_pending());
    assert_eq!(Arc::strong_count(&held), 1, "held during the delay");
}

#[tokio::test(start_paused = true)]
async fn attempt_that_would_have_no_time_left_is_not_begun() {
    let retry = builder().deadline(Duration::from_micros(1_800));
    let retry = retry.build().unwrap();
    // Tokio's timers round up to the next millisecond.
    let decision = Decision::RetryAfter(Duration::from_micros(1_500));
    let operation = |attempt| async move {
        assert_eq!(attempt, 1, "begun after the deadline");
        Err::<(), _>("down")
    };
    let error = retry.run(operation, |_| decision).await.unwrap_err();
    let RetryError::Deadline { attempts, last, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((attempts, last), (1, Some("down")));
}

#[tokio::test]
async fn permanent_failure_is_not_tried_again() {
    let retry = builder().build().unwrap();
    let operation = |_| async { Err::<(), _>("bad request") };
    let error = retry.run(operation, |_| Decision::Stop).await.unwrap_err();
    assert!(matches!(
        error,
        RetryError::NotRetryable { attempts: 1, .. }
    ));
    assert_eq!(error.into_last(), Some("bad request"));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_to_the_letter() {
    let retry = builder().max_delay(millis(60)).build().unwrap();
    let clock = ManualClock::ticking(EPOCH);
    let start = clock.monotonic();
    let operation = |attempt| async move { if attempt == 1 { Err(()) } else { Ok(()) } };
    let decide = |_: &()| Decision::RetryAfter(millis(3_000));
    retry.run(operation, decide).await.unwrap();
    assert_eq!(clock.monotonic() - start, millis(3_000));
}

#[tokio::test(start_paused = true)]
async fn deadline_cuts_an_attempt_off() {
    let retry = builder().deadline(millis(500)).build().unwrap();
    let clock = ManualClock::ticking(EPOCH);
    let start = clock.monotonic();
    let operation = |_| std::future::pending::<Result<(), &str>>();
    let error = retry.run(operation, |_| Decision::Retry).await.unwrap_err();
    assert!(
        matches!(
            error,
            RetryError::Deadline {
                attempts: 1,
                last: None,
                ..
            }
        ),
        "{error}"
    );
    assert!(clock.monotonic() - start <= millis(501));
}

#[tokio::test]
async fn deadline_cuts_off_an_attempt_that_uses_up_its_share_of_every_poll() {
    let retry = Retry::builder().deadline(millis(20)).build().unwrap();
    let operation = |_| async {
        loop {
            tokio::task::coop::consume_budget().await;
        }
    };
    let outcome = retry.run::<(), (), _, _, _>(operation, |()| Decision::Retry);
    assert!(matches!(outcome.await, Err(RetryError::Deadline { .. })));
}

#[tokio::test(start_paused = true)]
async fn delay_beyond_the_deadline_is_not_begun() {
    let retry = builder().deadline(millis(500)).build().unwrap();
    let clock = ManualClock::ticking(EPOCH);
    let start = clock.monotonic();
    let operation = |_| async { Err::<(), _>("busy") };
    let decide = |_: &&str| Decision::RetryAfter(millis(501));
    let error = retry.run(operation, decide).await.unwrap_err();
    assert!(matches!(
        error,
        RetryError::Deadline {
            attempts: 1,
            last: Some("busy"),
            ..
        }
    ));
    assert_eq!(clock.monotonic(), start);
}

#[tokio::test(start_paused = true)]
async fn shared_budget_stops_retries_but_not_first_attempts() {
    let budget = Arc::new(RetryBudget::new(4, 1.0).unwrap());
    let calls = Cell::new(0);
    let run = async || {
        let retry = builder().budget(Arc::clone(&budget)).build().unwrap();
        let operation = |_| {
            calls.set(calls.get() + 1);
            async { Err::<(), _>("down") }
        };
        retry.run(operation, |_| Decision::Retry).await.unwrap_err()
    };
    assert!(matches!(
        run().await,
        RetryError::BudgetEmpty { attempts: 2, .. }
    ));
    assert!(matches!(
        run().await,
        RetryError::BudgetEmpty { attempts: 1, .. }
    ));
    assert_eq!((calls.get(), budget.tokens()), (3, 1));
}

#[tokio::test]
async fn permanent_failure_is_not_charged_to_the_budget() {
    let budget = Arc::new(RetryBudget::new(4, 1.0).unwrap());
    let retry = builder().budget(Arc::clone(&budget)).build().unwrap();
    let operation = |_| async { Err::<(), _>("bad request") };
    let _ = retry.run(operation, |_| Decision::Stop).await;
    assert_eq!(budget.tokens(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_attempts_end_by_the_deadline(
        seed: u64, deadline in 1_u64..2_000, work in 0_u64..300, attempts in 1_u32..40
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let builder = builder().max_attempts(attempts).deadline(millis(deadline));
            let retry = builder.seed(seed).build().unwrap();
            let clock = ManualClock::ticking(EPOCH);
            let start = clock.monotonic();
            let operation = |_| async move {
                tokio::time::sleep(millis(work)).await;
                Err::<(), _>("down")
            };
            let error = retry.run(operation, |_| Decision::Retry).await.unwrap_err();
            assert!(error.attempts() <= attempts);
            assert!(clock.monotonic() - start <= millis(deadline + 1));
        });
    }
}
