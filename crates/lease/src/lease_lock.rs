use std::{fmt, future::Future, sync::Arc, time::Duration};

use steadfast_clock::Clock;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    BackendError, Grant, LeaseContext, LeaseError, LeaseLockBuilder, LockBackend, LossReason,
    builder::Limits,
    caught::caught,
    context::{Holding, LoseOnDrop},
    renewal::renew_until_lost,
    spread::spread,
};

/// Runs work while it holds the lease of one key, and renews the lease in the background.
///
/// Any number of locks of one key may exist, in one process or in many: of all of them, one at a
/// time runs its work, unless the one before has lost its lease and does not heed its
/// [cancellation](LeaseContext::cancellation); its fence is then lower than that of its successor.
pub struct LeaseLock {
    backend: Arc<dyn LockBackend>,
    pub(crate) key: Arc<str>,
    pub(crate) owner: Arc<str>,
    clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
}

/// What became of one attempt.
pub(crate) enum Attempt {
    Granted(Grant),
    Busy,
    Failed(BackendError),
    /// No answer in time, or one so late that the lease is not worth beginning with.
    TooLate,
}

impl LeaseLock {
    /// A lock of `key` with the default limits. `owner` tells people who holds it; it gives no
    /// right to a lease that a namesake holds.
    #[must_use]
    pub fn builder(
        backend: Arc<dyn LockBackend>,
        key: impl Into<Arc<str>>,
        owner: impl Into<Arc<str>>,
    ) -> LeaseLockBuilder {
        LeaseLockBuilder::new(backend, key, owner)
    }

    pub(crate) fn new(
        backend: Arc<dyn LockBackend>,
        key: Arc<str>,
        owner: Arc<str>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Self {
        Self {
            backend,
            key,
            owner,
            clock,
            limits,
        }
    }

    /// Runs `work` if the lease is free now; `None`, without having called `work`, if it is held.
    ///
    /// The lease is renewed while the work runs. The work's token is cancelled when the lease is
    /// lost, or is so near to its expiry that less than the margin is left; the work is then
    /// waited for, never dropped. The lease is released after the work has returned; a panic of the
    /// work goes on to the caller and leaves the lease to expire.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work and ends the renewal; the lease is left to expire.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Acquire`] or [`LeaseError::AcquireTimedOut`] if the backend fails or does not
    /// answer within the time to live, [`LeaseError::Lost`] if the lease was lost before the work
    /// returned. A panic of the backend is such a failure, a permanent one.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    pub async fn try_run<T, F, W>(&self, work: F) -> Result<Option<T>, LeaseError>
    where
        F: FnOnce(LeaseContext) -> W,
        W: Future<Output = T>,
    {
        match self.attempt(self.limits.ttl).await {
            Attempt::Granted(grant) => self.hold(grant, work).await.map(Some),
            Attempt::Busy => Ok(None),
            Attempt::Failed(source) => Err(LeaseError::Acquire {
                key: Arc::clone(&self.key),
                source,
            }),
            Attempt::TooLate => Err(self.acquire_timed_out(self.limits.ttl, None)),
        }
    }

    /// Waits for the lease and runs `work`; see [`try_run`](Self::try_run).
    ///
    /// Asks again and again, in no order of arrival, as long as the lease is held or the backend
    /// has transient trouble, up to the acquire timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it waits may leave the lease taken by an attempt under way;
    /// dropping it later drops the work and ends the renewal. Either way the lease is left to
    /// expire.
    ///
    /// # Errors
    ///
    /// As [`try_run`](Self::try_run), with [`LeaseError::AcquireTimedOut`] after the acquire
    /// timeout and [`LeaseError::Acquire`] only for trouble that is not transient.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    pub async fn run<T, F, W>(&self, work: F) -> Result<T, LeaseError>
    where
        F: FnOnce(LeaseContext) -> W,
        W: Future<Output = T>,
    {
        let grant = self.acquire().await?;
        self.hold(grant, work).await
    }

    async fn acquire(&self) -> Result<Grant, LeaseError> {
        let limit = self.limits.acquire_timeout;
        let begun = self.clock.monotonic();
        let left = || limit.saturating_sub(self.clock.monotonic() - begun);
        let mut last = None;
        for attempt in 0_u64.. {
            if left().is_zero() {
                break;
            }
            match self.attempt(left().min(self.limits.ttl)).await {
                Attempt::Granted(grant) => return Ok(grant),
                Attempt::Failed(source) if !source.is_transient() => {
                    let key = Arc::clone(&self.key);
                    return Err(LeaseError::Acquire { key, source });
                }
                Attempt::Failed(source) => last = Some(source),
                Attempt::Busy | Attempt::TooLate => last = None,
            }
            let pause = spread(self.limits.retry_every, &self.owner, attempt);
            sleep(pause.min(left())).await;
        }
        Err(self.acquire_timed_out(limit, last))
    }

    pub(crate) async fn attempt(&self, limit: Duration) -> Attempt {
        let ttl = self.limits.ttl;
        let asked = caught(|| self.backend.try_acquire(&self.key, &self.owner, ttl));
        match timeout(limit, asked).await {
            Err(_) => Attempt::TooLate,
            Ok(Err(error)) => Attempt::Failed(error),
            Ok(Ok(None)) => Attempt::Busy,
            Ok(Ok(Some(grant))) => {
                let valid = grant
                    .valid_until
                    .saturating_duration_since(self.clock.monotonic());
                if valid > self.limits.margin {
                    return Attempt::Granted(grant);
                }
                self.release(&grant).await;
                Attempt::TooLate
            }
        }
    }

    /// Runs the work beside the renewal, and releases the lease after it has returned.
    pub(crate) async fn hold<T, F, W>(&self, grant: Grant, work: F) -> Result<T, LeaseError>
    where
        F: FnOnce(LeaseContext) -> W,
        W: Future<Output = T>,
    {
        let clock = Arc::clone(&self.clock);
        let holding = Arc::new(Holding::new(&grant, clock, self.limits.margin));
        // However this future ends, clones of the context that live on must not pass a check.
        let _finished = LoseOnDrop {
            holding: Arc::clone(&holding),
            reason: LossReason::Finished,
        };
        // A task, so that work which is busy for long does not keep the renewal from its turn;
        // the set aborts it when this future is dropped.
        let mut renewal = JoinSet::new();
        renewal.spawn(renew_until_lost(
            Arc::clone(&self.backend),
            self.limits,
            grant.clone(),
            Arc::clone(&holding),
        ));
        tracing::debug!(key = %self.key, owner = %self.owner, fence = grant.fence, "lease acquired");
        let output = work(LeaseContext::new(Arc::clone(&holding))).await;
        let held = holding.check();
        renewal.shutdown().await;
        self.release(&grant).await;
        held.map(|()| output).map_err(LeaseError::Lost)
    }

    /// Gives the lease back. It takes at most as long as the lease would last by itself, and a
    /// failure only means that it does last so long.
    async fn release(&self, grant: &Grant) {
        let trouble = match timeout(self.limits.ttl, caught(|| self.backend.release(grant))).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!(
            key = %self.key,
            fence = grant.fence,
            trouble,
            "lease was not released and is left to expire"
        );
    }

    fn acquire_timed_out(&self, after: Duration, last: Option<BackendError>) -> LeaseError {
        LeaseError::AcquireTimedOut {
            key: Arc::clone(&self.key),
            after,
            last,
        }
    }
}

impl fmt::Debug for LeaseLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseLock")
            .field("key", &self.key)
            .field("owner", &self.owner)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
