use std::{fmt, future::Future, sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant};

use self::{jitter::Delays, random::SplitMix64};
use crate::{
    PrimitiveState, RetryError, Snapshot,
    meters::Meters,
    registry::Inspect,
    rt::atomic::{AtomicU64, AtomicUsize, Ordering},
};

mod budget;
mod builder;
mod decision;
mod jitter;
mod random;
mod run;
mod snapshot;

pub use self::{
    budget::RetryBudget, builder::RetryBuilder, decision::Decision, jitter::Jitter,
    snapshot::RetrySnapshot,
};

/// Tries an operation again, after random delays that grow, until it succeeds or a bound is met.
///
/// # Guarantees
///
/// - Delays are random, by full [`Jitter`] unless the builder says otherwise.
///   [`Decision::RetryAfter`] replaces them.
/// - The number of attempts and the time for all of them, executions included, are bounded.
/// - A delay that would end after the deadline is not begun, nor is an attempt after it.
/// - A failed attempt is dropped before the delay that follows it.
/// - What a breaker or limiter of our own refuses is not charged to the [`RetryBudget`].
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
pub struct Retry {
    core: Arc<Core>,
}

/// What the policy and the registry share.
#[derive(Debug)]
struct Core {
    name: String,
    initial_delay: Duration,
    max_delay: Duration,
    jitter: Jitter,
    max_attempts: u32,
    deadline: Duration,
    random: SplitMix64,
    budget: Option<Arc<RetryBudget>>,
    clock: Arc<dyn Clock>,
    meters: Meters,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    /// Runs whose first attempt succeeded when it was first polled: counted here and only here, so
    /// that they cost one addition.
    succeeded_at_once: AtomicU64,
    running: AtomicUsize,
    attempts: AtomicU64,
    succeeded: AtomicU64,
    exhausted: AtomicU64,
    past_deadline: AtomicU64,
    not_retryable: AtomicU64,
    budget_empty: AtomicU64,
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
    /// The policy's [`deadline`](RetryBuilder::deadline) counts from where the first attempt first
    /// has to wait or fails: one that succeeds at once reads no clock. So a first poll that blocks
    /// is not counted; [`run_until`](Self::run_until) has no such gap.
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
    /// Does nothing until polled. Dropping it drops the attempt that is running; what the attempts
    /// so far took from the budget stays taken, and nothing else stays behind.
    pub async fn run<T, E, Op, Fut, C>(
        &self,
        operation: Op,
        classify: C,
    ) -> Result<T, RetryError<E>>
    where
        Op: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: FnMut(&E) -> Decision,
    {
        run::run(&self.core, None, operation, classify).await
    }

    /// As [`run`](Self::run), and not beyond `deadline`: the earlier one of it and the policy's
    /// counts. The policy's counts from the first poll on.
    ///
    /// The same `deadline` can bound what the operation waits for: a lock, a semaphore, a limiter.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). If `deadline` is past when it is first polled,
    /// [`RetryError::Deadline`] with no attempt.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_until<T, E, Op, Fut, C>(
        &self,
        deadline: Instant,
        operation: Op,
        classify: C,
    ) -> Result<T, RetryError<E>>
    where
        Op: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: FnMut(&E) -> Decision,
    {
        run::run(&self.core, Some(deadline), operation, classify).await
    }

    /// How long a run would wait after `failures` failures in a row, for a caller that waits in
    /// its own way: a supervisor, a queue. Drawn anew by each call.
    ///
    /// Neither the number of attempts, nor the deadline, nor the budget has a say. With
    /// [`Jitter::Decorrelated`] it costs as many draws as there were failures, 64 at most.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), steadfast_sync::ConfigError> {
    /// let retry = steadfast_sync::Retry::builder().initial_delay(Duration::from_millis(100)).build()?;
    /// assert!(retry.delay(1) <= Duration::from_millis(100));
    /// assert!(retry.delay(3) <= Duration::from_millis(400));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let core = &self.core;
        let mut delays = Delays::new(core.jitter, core.initial_delay, core.max_delay);
        delays.draw_alone(failures, &core.random)
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// All that can be seen of it. The counts are read one after the other, while others may
    /// change them.
    #[must_use]
    pub fn snapshot(&self) -> RetrySnapshot {
        self.core.snapshot()
    }
}

impl Core {
    fn snapshot(&self) -> RetrySnapshot {
        let counts = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let succeeded_at_once = read(&counts.succeeded_at_once);
        RetrySnapshot {
            running: counts.running.load(Ordering::Relaxed),
            attempts: succeeded_at_once.saturating_add(read(&counts.attempts)),
            succeeded: succeeded_at_once.saturating_add(read(&counts.succeeded)),
            exhausted: read(&counts.exhausted),
            past_deadline: read(&counts.past_deadline),
            not_retryable: read(&counts.not_retryable),
            budget_empty: read(&counts.budget_empty),
            budget_tokens: self.budget.as_ref().map(|budget| budget.tokens()),
        }
    }
}

impl Inspect for Core {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            state: PrimitiveState::Retry(self.snapshot()),
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", &self.core.name)
            .field("max_attempts", &self.core.max_attempts)
            .field("deadline", &self.core.deadline)
            .field("running", &self.core.snapshot().running)
            .finish_non_exhaustive()
    }
}
