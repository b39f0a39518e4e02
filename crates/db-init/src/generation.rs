use std::{
    any::Any,
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use steadfast_sync::{BreakerOpen, BreakerPermit, Decision, RetryError};
use tokio::time::sleep;

use crate::{
    AttemptError, Backend, Class, InitError, Phase, Status,
    error::Chain,
    shared::{Failure, Shared},
};

/// How long the pool of a failed attempt may take to close before it is dropped.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);
/// How many tries a failure of class [`Class::Capped`] gets.
const CAPPED_TRIES: u32 = 2;

/// One generation: attempts until one succeeds or a bound is met.
pub(crate) struct Generation<B: Backend> {
    shared: Arc<Shared<B>>,
    generation: u64,
    progress: Mutex<Progress>,
    has_ended: bool,
}

/// How far a generation is.
#[derive(Clone, Copy)]
struct Progress {
    phase: Phase,
    /// Whether an attempt is being made; if not, the next one is waited for.
    is_at_work: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            phase: Phase::Connect,
            is_at_work: false,
        }
    }
}

/// Why an attempt failed, or was not begun.
enum Fault {
    NotAdmitted(BreakerOpen),
    Failed(AttemptError),
}

impl<B: Backend> Generation<B> {
    pub(crate) fn new(shared: Arc<Shared<B>>, generation: u64) -> Self {
        Self {
            shared,
            generation,
            progress: Mutex::default(),
            has_ended: false,
        }
    }

    /// Opens a pool, or says why there is none.
    pub(crate) async fn run(mut self) -> Result<B::Pool, Failure> {
        let outcome = self.take_turn().await;
        self.has_ended = true;
        outcome.map_err(|error| Failure {
            generation: self.generation,
            error: Arc::new(error),
        })
    }

    async fn take_turn(&self) -> Result<B::Pool, InitError> {
        let mut turn = tokio::select! {
            biased;
            () = self.shared.stopped(self.generation) => return Err(InitError::ShutDown),
            turn = self.shared.turn_to_open(self.generation) => turn,
        };
        let outcome = tokio::select! {
            biased;
            () = self.shared.stopped(self.generation) => Err(InitError::ShutDown),
            outcome = catch_panics(self.attempts()) => match outcome {
                Ok(outcome) => outcome,
                Err(message) => {
                    let phase = self.phase();
                    Err(InitError::Panicked { phase, message })
                }
            },
        };
        // A close may have come in the middle of the last poll. If it comes after this, it finds
        // the pool.
        let outcome = if self.shared.is_stopped(self.generation) {
            Err(InitError::ShutDown)
        } else {
            outcome
        };
        match &outcome {
            Ok(_) => {
                turn.keep_open();
                self.shared.failures.succeeded();
            }
            Err(error) => {
                self.count_cut_off(error);
                self.discard().await;
            }
        }
        outcome
    }

    /// An attempt that panicked, or that the deadline cut off, has failed as well.
    fn count_cut_off(&self, error: &InitError) {
        let is_cut_off = matches!(
            error,
            InitError::Panicked { .. } | InitError::Deadline { .. }
        );
        if is_cut_off && self.progress().is_at_work {
            let error = Chain(error).to_string();
            self.shared.failures.failed(error.into());
        }
    }

    async fn attempts(&self) -> Result<B::Pool, InitError> {
        let mut capped = 0;
        let classify = |fault: &Fault| match fault {
            Fault::NotAdmitted(_) => Decision::Stop,
            Fault::Failed(error) => match error.class() {
                Class::Transient | Class::Ambiguous => Decision::Retry,
                Class::Capped => {
                    capped += 1;
                    if capped < CAPPED_TRIES {
                        Decision::Retry
                    } else {
                        Decision::Stop
                    }
                }
                Class::Permanent => Decision::Stop,
            },
        };
        let attempt = |attempt| self.attempt(attempt);
        let outcome = self.shared.retry.run(attempt, classify).await;
        outcome.map_err(|error| self.give_up(error))
    }

    async fn attempt(&self, attempt: u32) -> Result<B::Pool, Fault> {
        let (shared, generation) = (&self.shared, self.generation);
        let connecting = Status::Connecting {
            generation,
            attempt,
        };
        shared.publish_from(generation, connecting);
        let permit = self.admit(attempt).await.map_err(Fault::NotAdmitted)?;
        match self.open(attempt).await {
            Ok(pool) => {
                permit.success();
                Ok(pool)
            }
            Err(error) => {
                if shared.is_stopped(generation) {
                    // The close may be the reason: it may have closed the pool already.
                    permit.ignore();
                } else {
                    permit.failure();
                    let (database, cause) = (shared.failures.name(), Chain(&error).to_string());
                    tracing::warn!(%database, generation, attempt, cause, "cannot initialise the database");
                    shared.failures.failed(cause.into());
                }
                self.rest();
                self.discard().await;
                Err(Fault::Failed(error))
            }
        }
    }

    /// The breaker's permit. A generation that begins while the breaker is open does not wait
    /// for it; one that has opened it does.
    async fn admit(&self, attempt: u32) -> Result<BreakerPermit<'_>, BreakerOpen> {
        loop {
            match self.shared.breaker.try_acquire() {
                Ok(permit) => return Ok(permit),
                Err(open) => match open.retry_after {
                    // At least a tick, so that a probe in flight elsewhere is not polled hotly.
                    Some(after) if attempt > 1 => sleep(after.max(Duration::from_millis(1))).await,
                    _ => return Err(open),
                },
            }
        }
    }

    async fn open(&self, attempt: u32) -> Result<B::Pool, AttemptError> {
        let (shared, generation) = (&self.shared, self.generation);
        self.enter(Phase::Connect);
        let connected = shared.backend.connect().await;
        let pool = connected.map_err(AttemptError::Connect)?;
        shared.set_open(generation, pool.clone());

        self.enter(Phase::Ping);
        let pinged = shared.backend.ping(&pool).await;
        pinged.map_err(AttemptError::Ping)?;

        self.enter(Phase::Migrate);
        let migrating = Status::Migrating {
            generation,
            attempt,
        };
        shared.publish_from(generation, migrating);
        let migrated = shared.backend.migrate(&pool, &shared.migrations).await;
        let applied = migrated.map_err(AttemptError::Migrate)?;
        let applied: Vec<String> = applied.iter().map(ToString::to_string).collect();
        let database = shared.failures.name();
        tracing::info!(%database, generation, attempt, ?applied, "database initialised");
        self.rest();
        Ok(pool)
    }

    fn give_up(&self, error: RetryError<Fault>) -> InitError {
        let attempts = error.attempts();
        if let RetryError::Deadline { last, .. } = error {
            let last = match last {
                Some(Fault::Failed(error)) => Some(error),
                Some(Fault::NotAdmitted(_)) | None => None,
            };
            return self.deadline(last);
        }
        let is_permanent = |error: &AttemptError| !error.class().is_transient();
        match error.into_last() {
            Some(Fault::Failed(error)) if is_permanent(&error) => match error {
                AttemptError::Connect(source) | AttemptError::Ping(source) => {
                    InitError::Permanent { source }
                }
                AttemptError::Migrate(source) => InitError::Migration { source },
            },
            Some(Fault::Failed(last)) => InitError::Exhausted { attempts, last },
            Some(Fault::NotAdmitted(open)) => InitError::CircuitOpen {
                retry_after: open.retry_after,
            },
            // Only a deadline leaves no last failure.
            None => self.deadline(None),
        }
    }

    fn deadline(&self, last: Option<AttemptError>) -> InitError {
        InitError::Deadline {
            location: self.shared.backend.location(),
            phase: self.phase(),
            last,
        }
    }

    /// Closes the pool of an attempt that failed or was stopped.
    ///
    /// The pool stays where a close finds it that runs out of patience, and that reports what has
    /// not come back.
    async fn discard(&self) {
        let shared = &self.shared;
        let Some(pool) = shared.open_of(self.generation) else {
            return;
        };
        let database = shared.failures.name();
        tokio::select! {
            biased;
            closed = catch_panics(shared.backend.close(&pool)) => if let Err(message) = closed {
                tracing::error!(%database, message, "the backend panicked while closing a pool");
            },
            () = self.patience() => {
                // It is dropped, which closes its connections too, only later.
                let leaked = shared.backend.stats(&pool).in_use();
                let within = DISCARD_WITHIN;
                tracing::warn!(%database, leaked, ?within, "database connections leaked");
            }
        }
        drop(shared.take_open_of(self.generation));
    }

    /// Ends when a pool has taken too long to close. When the generation is stopped, that is for
    /// the close to say, which then drops the generation.
    async fn patience(&self) {
        sleep(DISCARD_WITHIN).await;
        if self.shared.is_stopped(self.generation) {
            pending::<()>().await;
        }
    }

    /// An attempt enters a phase.
    fn enter(&self, phase: Phase) {
        *self.locked() = Progress {
            phase,
            is_at_work: true,
        };
    }

    /// An attempt has ended.
    fn rest(&self) {
        *self.locked() = Progress::default();
    }

    fn phase(&self) -> Phase {
        self.progress().phase
    }

    fn progress(&self) -> Progress {
        *self.locked()
    }

    fn locked(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Backend> Drop for Generation<B> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // Every caller went away.
        let abandoned = self.generation;
        self.shared.publish(|status| match status {
            Status::Connecting { generation, .. } | Status::Migrating { generation, .. }
                if *generation == abandoned =>
            {
                Some(Status::Idle)
            }
            _ => None,
        });
    }
}

/// What a future returns, or what it says when it panics.
async fn catch_panics<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| future.as_mut().poll(cx));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic_message(panic.as_ref()))),
        }
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
