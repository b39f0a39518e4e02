use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant};
use tracing::debug;

use self::random::SplitMix64;
use crate::{RetryError, rt, timeout::timeout};

mod budget;
mod builder;
mod random;

pub use self::{budget::RetryBudget, builder::RetryBuilder};

/// Tries an operation again, after random delays that grow, until it succeeds or a bound is met.
///
/// # Guarantees
///
/// - Full jitter: the delay after failure n is uniform between zero and
///   min(`max_delay`, `initial_delay` · 2ⁿ⁻¹) (Brooker, "Exponential Backoff And Jitter", AWS
///   Architecture Blog, 2015). [`Decision::RetryAfter`] replaces it.
/// - The number of attempts and the time for all of them, executions included, are bounded.
/// - A delay that would end after the deadline is not begun, nor is an attempt after it.
/// - A failed attempt is dropped before the delay that follows it.
///
/// One policy can serve any number of tasks at once.
///
/// # Examples
///
/// ```
/// use steadfast_sync::{Decision, Retry};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let retry = Retry::builder().max_attempts(3).build()?;
/// let operation = |attempt| async move {
///     if attempt < 3 { Err(std::io::ErrorKind::TimedOut) } else { Ok(attempt) }
/// };
/// let outcome = retry.run(operation, |_| Decision::Retry).await;
/// assert_eq!(outcome.unwrap(), 3);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Retry {
    name: String,
    initial_delay: Duration,
    max_delay: Duration,
    max_attempts: u32,
    deadline: Duration,
    random: SplitMix64,
    budget: Option<Arc<RetryBudget>>,
    clock: Arc<dyn Clock>,
}

/// What to do about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The failure may pass: try again after a random delay.
    Retry,
    /// The failure says when to try again (HTTP's `Retry-After`): wait exactly so long.
    RetryAfter(Duration),
    /// The failure is permanent.
    Stop,
}

impl Retry {
    /// Configures a policy.
    #[must_use]
    pub fn builder() -> RetryBuilder {
        RetryBuilder::new()
    }

    /// Runs `operation` with the number of the attempt, from 1, until it succeeds; `classify`
    /// decides about each failure.
    ///
    /// # Errors
    ///
    /// [`RetryError`], which says what ended the attempts and holds the last failure.
    ///
    /// # Panics
    ///
    /// If an attempt is not ready at once, or a delay is needed, outside a tokio runtime with
    /// timers.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it drops the attempt that is running; the policy
    /// itself keeps no trace.
    pub async fn run<T, E, Op, Fut, C>(
        &self,
        mut operation: Op,
        mut classify: C,
    ) -> Result<T, RetryError<E>>
    where
        Op: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: FnMut(&E) -> Decision,
    {
        let started = self.clock.monotonic();
        let mut last = None;
        let mut left = self.deadline;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let outcome = {
                let attempt = pin!(operation(attempts));
                timeout(left, attempt).await
            };
            let error = match outcome {
                Some(Ok(value)) => {
                    if let Some(budget) = &self.budget {
                        budget.succeeded();
                    }
                    return Ok(value);
                }
                Some(Err(error)) => error,
                None => {
                    let elapsed = self.elapsed(started);
                    return Err(self.gave_up(RetryError::Deadline {
                        attempts,
                        elapsed,
                        last,
                    }));
                }
            };
            let decision = classify(&error);
            let delay = self.next_delay(attempts, started, decision, error);
            let (delay, error) = delay.map_err(|error| self.gave_up(error))?;
            debug!(
                name = self.name,
                attempts,
                ?delay,
                "attempt failed, retrying"
            );
            rt::sleep(delay).await;
            let elapsed = self.elapsed(started);
            left = self.deadline.saturating_sub(elapsed);
            last = Some(error);
            // The delay may have taken longer than it should.
            if left.is_zero() {
                return Err(self.gave_up(RetryError::Deadline {
                    attempts,
                    elapsed,
                    last,
                }));
            }
        }
    }

    /// How long to wait before the next attempt, or why there is none.
    fn next_delay<E>(
        &self,
        attempts: u32,
        started: Instant,
        decision: Decision,
        last: E,
    ) -> Result<(Duration, E), RetryError<E>> {
        let elapsed = self.elapsed(started);
        let delay = match decision {
            Decision::Stop => {
                return Err(RetryError::NotRetryable {
                    attempts,
                    elapsed,
                    last,
                });
            }
            Decision::Retry => self.jitter(attempts),
            Decision::RetryAfter(delay) => delay,
        };
        // The last attempt is charged to the budget as well.
        let has_budget = self.budget.as_ref().is_none_or(|budget| budget.failed());
        if attempts >= self.max_attempts {
            return Err(RetryError::Exhausted {
                attempts,
                elapsed,
                last,
            });
        }
        if !has_budget {
            return Err(RetryError::BudgetEmpty {
                attempts,
                elapsed,
                last,
            });
        }
        if elapsed.saturating_add(delay) >= self.deadline {
            let last = Some(last);
            return Err(RetryError::Deadline {
                attempts,
                elapsed,
                last,
            });
        }
        Ok((delay, last))
    }

    fn jitter(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let ceiling = self.initial_delay.saturating_mul(1 << doublings);
        self.random.up_to(ceiling.min(self.max_delay))
    }

    fn elapsed(&self, started: Instant) -> Duration {
        let now = self.clock.monotonic();
        now.saturating_duration_since(started)
    }

    fn gave_up<E>(&self, error: RetryError<E>) -> RetryError<E> {
        let (reason, attempts) = (error.reason(), error.attempts());
        debug!(name = self.name, attempts, reason, "gave up");
        error
    }
}
