use std::{future::Future, pin::pin, time::Duration};

use steadfast_clock::Instant;
use tracing::{debug, trace, warn};

use super::{Core, Decision, jitter::Delays};
use crate::{
    RetryError,
    rt::{self, atomic::Ordering},
    timeout::timeout_from_pending,
};

/// Makes the attempts, by the policy's deadline and by `until`.
pub(super) async fn run<T, E, Op, Fut, C>(
    policy: &Core,
    until: Option<Instant>,
    operation: Op,
    classify: C,
) -> Result<T, RetryError<E>>
where
    Op: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: FnMut(&E) -> Decision,
{
    let mut run = Run::new(policy, until);
    match run.attempts(operation, classify).await {
        Ok(value) => {
            run.succeeded();
            Ok(value)
        }
        Err(error) => {
            run.gave_up(&error);
            Err(error)
        }
    }
}

/// One run of a policy.
///
/// It begins, that is reads the clock and is counted as running, only when it has to wait or has
/// failed: what succeeds at once costs no more than one count.
struct Run<'a> {
    policy: &'a Core,
    until: Option<Instant>,
    began: Option<Instant>,
    attempts: u32,
    delays: Delays,
}

impl<'a> Run<'a> {
    fn new(policy: &'a Core, until: Option<Instant>) -> Self {
        let mut run = Self {
            policy,
            until,
            began: None,
            attempts: 0,
            delays: Delays::new(policy.jitter, policy.initial_delay, policy.max_delay),
        };
        if until.is_some() {
            run.begin();
        }
        run
    }

    async fn attempts<T, E, Op, Fut, C>(
        &mut self,
        mut operation: Op,
        mut classify: C,
    ) -> Result<T, RetryError<E>>
    where
        Op: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: FnMut(&E) -> Decision,
    {
        let mut last = None;
        loop {
            // A delay may have taken longer than it should, and `until` may be past.
            if self.has_begun() && self.left().is_zero() {
                return Err(self.past_deadline(last));
            }
            let outcome = {
                let attempt = pin!(operation(self.next_attempt()));
                timeout_from_pending(|| self.left(), attempt).await
            };
            let error = match outcome {
                Some(Ok(value)) => return Ok(value),
                Some(Err(error)) => error,
                None => return Err(self.past_deadline(last)),
            };
            let decision = classify(&error);
            let (delay, error) = self.next_delay(decision, error)?;
            let (name, attempts) = (&self.policy.name, self.attempts);
            debug!(name, attempts, ?delay, "attempt failed, retrying");
            self.policy.meters.waited(delay);
            rt::sleep(delay).await;
            last = Some(error);
        }
    }

    fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    fn begin(&mut self) -> Instant {
        let policy = self.policy;
        let attempts = u64::from(self.attempts);
        *self.began.get_or_insert_with(|| {
            let now = policy.clock.monotonic();
            policy.counts.running.fetch_add(1, Ordering::Relaxed);
            policy
                .counts
                .attempts
                .fetch_add(attempts, Ordering::Relaxed);
            now
        })
    }

    fn next_attempt(&mut self) -> u32 {
        self.attempts += 1;
        if self.has_begun() {
            let attempts = &self.policy.counts.attempts;
            attempts.fetch_add(1, Ordering::Relaxed);
        }
        self.attempts
    }

    /// How much time there is left.
    fn left(&mut self) -> Duration {
        let began = self.begin();
        let now = self.policy.clock.monotonic();
        let left = self
            .policy
            .deadline
            .saturating_sub(now.saturating_duration_since(began));
        match self.until {
            Some(until) => left.min(until.saturating_duration_since(now)),
            None => left,
        }
    }

    fn elapsed(&mut self) -> Duration {
        let began = self.begin();
        let now = self.policy.clock.monotonic();
        now.saturating_duration_since(began)
    }

    /// How long to wait before the next attempt, or why there is none.
    fn next_delay<E>(
        &mut self,
        decision: Decision,
        last: E,
    ) -> Result<(Duration, E), RetryError<E>> {
        let elapsed = self.elapsed();
        let (policy, attempts) = (self.policy, self.attempts);
        let delay = match decision {
            Decision::Stop => {
                return Err(RetryError::NotRetryable {
                    attempts,
                    elapsed,
                    last,
                });
            }
            Decision::Retry => self.delays.draw(attempts, &policy.random),
            Decision::RetryAfter(delay) => delay,
            Decision::Rejected(delay) => {
                delay.saturating_add(self.delays.draw(attempts, &policy.random))
            }
        };
        // The last attempt is charged to the budget as well.
        let has_budget = match (&policy.budget, decision) {
            (None, _) | (_, Decision::Rejected(_)) => true,
            (Some(budget), _) => budget.failed(),
        };
        if attempts >= policy.max_attempts {
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
        if delay >= self.left() {
            return Err(self.past_deadline(Some(last)));
        }
        Ok((delay, last))
    }

    fn past_deadline<E>(&mut self, last: Option<E>) -> RetryError<E> {
        RetryError::Deadline {
            attempts: self.attempts,
            elapsed: self.elapsed(),
            last,
        }
    }

    fn succeeded(&self) {
        let policy = self.policy;
        let counts = &policy.counts;
        if self.has_begun() {
            counts.succeeded.fetch_add(1, Ordering::Relaxed);
        } else {
            counts.succeeded_at_once.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(budget) = &policy.budget {
            budget.succeeded();
        }
        trace!(name = policy.name, attempts = self.attempts, "succeeded");
    }

    /// Counts and tells of a run that ends without a value.
    fn gave_up<E>(&self, error: &RetryError<E>) {
        let policy = self.policy;
        let (counts, attempts, elapsed) = (&policy.counts, error.attempts(), error.elapsed());
        let (count, reason) = match error {
            RetryError::Exhausted { .. } => (&counts.exhausted, "exhausted"),
            RetryError::Deadline { .. } => (&counts.past_deadline, "past_deadline"),
            RetryError::NotRetryable { .. } => (&counts.not_retryable, "not_retryable"),
            RetryError::BudgetEmpty { .. } => (&counts.budget_empty, "budget_empty"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        let name = &policy.name;
        match error {
            RetryError::NotRetryable { .. } => {
                debug!(name, attempts, ?elapsed, reason, "gave up");
            }
            _ => warn!(name, attempts, ?elapsed, reason, "gave up"),
        }
        policy.meters.count(reason);
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if self.has_begun() {
            let running = &self.policy.counts.running;
            running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
