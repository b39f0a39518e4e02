//! Retry, breaker and limiter together, all by one deadline: a service that is down for a while is
//! left alone, and neither its outage nor a refusal of our own outlives the deadline.

use std::{cell::Cell, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{
    BreakerOpen, CircuitBreaker, Decision, Quota, RateError, RateLimiter, Retry, RetryBudget,
};

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("not let through by the limiter")]
    Limited(#[source] RateError),
    #[error("not admitted by the breaker")]
    NotAdmitted(#[source] BreakerOpen),
    #[error("status {0}")]
    Status(u16),
}

fn classify(failure: &Failure) -> Decision {
    let decision = match failure {
        Failure::Limited(error) => Decision::from(error),
        Failure::NotAdmitted(open) => Decision::from(open),
        Failure::Status(429) => Decision::RetryAfter(Duration::from_millis(200)),
        Failure::Status(500..) => Decision::Retry,
        Failure::Status(_) => Decision::Stop,
    };
    println!("  {failure}: {decision:?}");
    decision
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limiter = RateLimiter::new(Quota::per_second(50)?.with_burst(1)?);
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .open_for(Duration::from_millis(300))
        .build()?;
    let retry = Retry::builder()
        .name("payments")
        .max_attempts(8)
        .budget(Arc::new(RetryBudget::new(10, 0.1)?))
        .build()?;

    let calls = Cell::new(0);
    let pay = async || {
        calls.set(calls.get() + 1);
        match calls.get() {
            1..=2 => Err(Failure::Status(503)),
            3 => Err(Failure::Status(429)),
            _ => Ok("paid"),
        }
    };

    let deadline = SystemClock.monotonic() + Duration::from_secs(5);
    let attempt = |attempt| {
        println!("attempt {attempt}");
        let (limiter, breaker, pay) = (&limiter, &breaker, &pay);
        async move {
            let turn = limiter.acquire_until(1, deadline).await;
            turn.map_err(Failure::Limited)?;
            let permit = breaker.try_acquire().map_err(Failure::NotAdmitted)?;
            let outcome = pay().await;
            match outcome {
                Err(Failure::Status(500..)) => permit.failure(),
                _ => permit.success(),
            };
            outcome
        }
    };
    println!("{}", retry.run_until(deadline, attempt, classify).await?);
    println!("{:?}", retry.snapshot());
    Ok(())
}
