//! `run_until`, and what time counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use steadfast_clock::{Clock, Instant, ManualClock, SystemClock};
use steadfast_sync::{Decision, Quota, RateError, RateLimiter, Retry, RetryError};

use super::builder;
use crate::support::{EPOCH, millis};

async fn fail_slowly(work: Duration) -> Result<(), &'static str> {
    tokio::time::sleep(work).await;
    Err("down")
}

#[tokio::test(start_paused = true)]
async fn earlier_one_of_policy_and_argument_counts() {
    let clock = ManualClock::ticking(EPOCH);
    for (policy, argument, earlier) in [(500, 80, 80), (80, 500, 80), (80, 80, 80)] {
        let builder = builder().max_attempts(u32::MAX).initial_delay(millis(1));
        let retry = builder.deadline(millis(policy)).build().unwrap();
        let start = clock.monotonic();
        let run = retry.run_until(
            start + millis(argument),
            |_| fail_slowly(millis(7)),
            |_| Decision::RetryAfter(millis(3)),
        );
        let error = run.await.unwrap_err();
        assert!(matches!(error, RetryError::Deadline { .. }), "{error}");
        let took = clock.monotonic() - start;
        assert!(
            took <= millis(earlier),
            "{took:?} with {policy}, {argument}"
        );
        assert!(
            took > millis(earlier - 20),
            "{took:?} with {policy}, {argument}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_that_is_past_begins_no_attempt() {
    let retry = builder().build().unwrap();
    let operation = |_| async { unreachable!("begun after the deadline") };
    let past = SystemClock.monotonic();
    let run = retry.run_until::<(), (), _, _, _>(past, operation, |()| Decision::Retry);
    let error = run.await.unwrap_err();
    assert_eq!((error.attempts(), error.elapsed()), (0, Duration::ZERO));
    assert_eq!(
        error.to_string(),
        "deadline passed after 0ns, 0 attempts begun"
    );
    assert_eq!(error.into_last(), None);
    let seen = retry.snapshot();
    assert_eq!((seen.attempts, seen.past_deadline, seen.running), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_deadline_bounds_the_attempts_and_the_waits_in_them() {
    let clock = Arc::new(ManualClock::ticking(EPOCH));
    let quota = Quota::per_second(10).unwrap().with_burst(1).unwrap();
    let limiter = RateLimiter::builder(quota).clock(clock.clone());
    let limiter = limiter.build().unwrap();
    let retry = builder().initial_delay(millis(1)).build().unwrap();
    let (start, limiter) = (clock.monotonic(), &limiter);
    let deadline = start + millis(350);
    let attempt = |_| async {
        limiter.acquire_until(1, deadline).await?;
        Err::<(), _>(RateError::QueueFull { max_waiters: 0 })
    };
    let run = retry.run_until(deadline, attempt, |error| Decision::from(error));
    assert!(run.await.is_err());
    assert!(clock.monotonic() <= deadline);
    assert!(clock.monotonic() >= start + millis(300));
}

#[tokio::test(start_paused = true)]
async fn time_that_an_attempt_takes_counts_whether_it_waits_or_blocks() {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let builder = Retry::builder().clock(clock.clone()).deadline(millis(100));
    let retry = builder.max_attempts(50).build().unwrap();
    let far = clock.monotonic() + Duration::from_secs(3_600);
    let operation = |_| {
        clock.advance(millis(30));
        async { Err::<(), _>("down") }
    };
    let run = retry.run_until(far, operation, |_| Decision::RetryAfter(millis(1)));
    let error = run.await.unwrap_err();
    assert!(
        matches!(error, RetryError::Deadline { attempts: 4, .. }),
        "{error}"
    );
    assert_eq!(error.elapsed(), millis(120));

    // Here the time begins at the end of the first poll.
    let run = retry.run(operation, |_| Decision::RetryAfter(millis(1)));
    let error = run.await.unwrap_err();
    assert!(
        matches!(error, RetryError::Deadline { attempts: 5, .. }),
        "{error}"
    );
}

/// Counts how often it is read.
#[derive(Debug, Default)]
struct CountingClock(AtomicUsize);

impl Clock for CountingClock {
    fn wall(&self) -> SystemTime {
        EPOCH
    }

    fn monotonic(&self) -> Instant {
        self.0.fetch_add(1, Ordering::Relaxed);
        SystemClock.monotonic()
    }
}

#[tokio::test]
async fn success_at_once_reads_no_clock() {
    let clock = Arc::new(CountingClock::default());
    let retry = Retry::builder().clock(clock.clone()).build().unwrap();
    let run = retry.run(|_| async { Ok::<_, ()>(7) }, |()| Decision::Retry);
    assert_eq!(run.await.unwrap(), 7);
    assert_eq!(clock.0.load(Ordering::Relaxed), 0);
    let seen = retry.snapshot();
    assert_eq!((seen.attempts, seen.succeeded, seen.running), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn extremes_neither_overflow_nor_wait_beyond_the_deadline() {
    let longest = steadfast_sync::MAX_DURATION;
    for decision in [
        Decision::RetryAfter(Duration::MAX),
        Decision::Rejected(Duration::MAX),
        Decision::RetryAfter(longest),
        Decision::Rejected(longest),
    ] {
        let builder = builder().max_attempts(u32::MAX).deadline(longest);
        let builder = builder.initial_delay(longest).max_delay(longest);
        let retry = builder.build().unwrap();
        let error = retry
            .run(|_| async { Err::<(), _>("down") }, |_| decision)
            .await;
        let error = error.unwrap_err();
        assert!(
            matches!(error, RetryError::Deadline { attempts: 1, .. }),
            "{error}"
        );
    }
    let retry = builder().deadline(longest).build().unwrap();
    let far = SystemClock.monotonic() + longest;
    let run = retry.run_until(far, |_| async { Ok::<_, ()>(7) }, |()| Decision::Retry);
    assert_eq!(run.await.unwrap(), 7);
}
