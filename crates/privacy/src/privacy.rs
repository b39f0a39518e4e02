use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use steadfast_clock::Clock;
use steadfast_lease::{LeaseContext, LeaseLock, LockBackend};
use steadfast_sync::{Decision, Retry, RetryError};
use tokio_util::sync::CancellationToken;

use crate::{
    ComplianceReport, Erasures, Operation, PolicySnapshot, PolicyStore, PortError, PrivacyBuilder,
    PrivacyError, RetentionPolicy, RetentionStore, Run, RunId, RunLog, RunStatus, Trigger,
    stamps::{NewId, stored_now},
};

/// How many runs [`Privacy::runs`] returns at most: a page of 200, and one that tells of a next.
pub const MAX_RUNS: u32 = 201;

/// How long a cleanup may take unless another time is set.
pub const MAX_DURATION: Duration = Duration::from_secs(4 * 60 * 60);

/// Why a run that was interrupted is a failure.
pub(crate) const INTERRUPTED: &str = "interrupted: the service stops";

/// Deletes what is past retention, and measures how far that is kept.
///
/// # Guarantees
///
/// - Each operation has one entry point and one lock, whoever asks: of overlapping runs one works,
///   and the others are stored as skipped.
/// - A run is stored when it begins, each policy's outcome as soon as it is known, and the end
///   with it; a run that died is marked as failed by the next one, or by
///   [`recover`](Self::recover).
/// - A run is a success only if every part of it was.
/// - Deletion goes in batches with pauses, so that others get their turns at the store; the policy
///   is read again before each.
/// - Every figure of a report is measured from the rows.
pub struct Privacy {
    pub(crate) store: Arc<dyn RetentionStore>,
    pub(crate) log: Arc<dyn RunLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy_store: Arc<dyn PolicyStore>,
    pub(crate) base_policies: Vec<RetentionPolicy>,
    pub(crate) snapshot: PolicySnapshot,
    /// Ends the runs at work when it is cancelled; the next ones have a new one.
    pub(crate) stop: Mutex<CancellationToken>,
    pub(crate) batch: u32,
    pub(crate) pause: Duration,
    pub(crate) max_duration: Duration,
    pub(crate) retry: Retry,
    pub(crate) erasures: Option<Erasures>,
    pub(crate) new_id: NewId,
    pub(crate) cleanup_lock: LeaseLock,
    pub(crate) compliance_lock: LeaseLock,
    pub(crate) erasure_lock: LeaseLock,
}

impl Privacy {
    /// Starts to set the service up.
    #[must_use]
    pub fn builder(
        store: Arc<dyn RetentionStore>,
        log: Arc<dyn RunLog>,
        policies: Arc<dyn PolicyStore>,
        locks: Arc<dyn LockBackend>,
    ) -> PrivacyBuilder {
        PrivacyBuilder::new(store, log, policies, locks)
    }

    /// Marks runs as failed whose process died, so that none says that it is at work; call it at
    /// start. An operation that is at work is left alone. Says how many runs there were.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has marked the runs of an operation or not.
    ///
    /// # Errors
    ///
    /// [`Lock`](PrivacyError::Lock), [`Log`](PrivacyError::Log).
    pub async fn recover(&self) -> Result<u64, PrivacyError> {
        let mut failed = 0;
        for operation in Operation::ALL {
            let held = self.lock(operation).try_run(async |_| {
                self.retry
                    .run(|_| self.log.fail_unfinished(operation, self.now()), decide)
                    .await
            });
            let marked = held
                .await
                .map_err(|source| PrivacyError::Lock { operation, source })?;
            failed += marked
                .unwrap_or(Ok(0))
                .map_err(exhausted("mark runs that never ended"))?;
        }
        Ok(failed)
    }

    /// Does an operation: the one way in, whoever asks.
    ///
    /// A run that meets another one of its operation at work does nothing and is
    /// [`Skipped`](RunStatus::Skipped); that is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops between two batches or lets go of one, and leaves its run behind as
    /// running, and its lock to expire; the next run marks it as failed and does the rest.
    /// [`interrupt`](Self::interrupt) ends it in good order.
    ///
    /// # Errors
    ///
    /// [`Incomplete`](PrivacyError::Incomplete) if a part of it was not done; the run is in it.
    /// [`Lock`](PrivacyError::Lock), [`Log`](PrivacyError::Log),
    /// [`Policies`](PrivacyError::Policies).
    pub async fn run(&self, operation: Operation, trigger: Trigger) -> Result<Run, PrivacyError> {
        self.run_as(self.new_id(), operation, trigger).await
    }

    /// As [`run`](Self::run), under an id that was asked for before, so that whoever asked can
    /// find the run.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_as(
        &self,
        id: RunId,
        operation: Operation,
        trigger: Trigger,
    ) -> Result<Run, PrivacyError> {
        let run = self.new_run(id, operation, trigger);
        let stop = self.stop_token().clone();
        self.exclusive(run, async |run, lease| match operation {
            Operation::Cleanup => self.delete_expired(run, lease, stop).await,
            Operation::Compliance => self.measure(run, lease).await,
            Operation::Erasure => self.erase_all_due(run, lease, stop).await,
        })
        .await
    }

    /// An id for a run that is to begin.
    #[must_use]
    pub fn new_id(&self) -> RunId {
        RunId::new((self.new_id)(self.now()))
    }

    /// Deletes what is past retention: [`run`](Self::run) of that operation.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn cleanup(&self, trigger: Trigger) -> Result<Run, PrivacyError> {
        self.run(Operation::Cleanup, trigger).await
    }

    /// Measures how far the policies are kept, and stores the report: [`run`](Self::run) of that
    /// operation.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run); it deletes nothing.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); where it is [`Incomplete`](PrivacyError::Incomplete), the report is
    /// in the run all the same.
    pub async fn compliance(&self, trigger: Trigger) -> Result<Run, PrivacyError> {
        self.run(Operation::Compliance, trigger).await
    }

    /// Tells the cleanups and erasures that are at work to end before their next batch. They are then failures,
    /// since something may be left; the next one goes on.
    pub fn interrupt(&self) {
        std::mem::take(&mut *self.stop_token()).cancel();
    }

    /// Up to `limit` runs, at most [`MAX_RUNS`], with ids below `before`, the newest first.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Log`](PrivacyError::Log).
    pub async fn runs(
        &self,
        operation: Option<Operation>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, PrivacyError> {
        let runs = self.log.list(operation, before, limit.min(MAX_RUNS)).await;
        runs.map_err(log_failed("list runs"))
    }

    /// The run of that id; `None`: there is none, or it has not begun.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Log`](PrivacyError::Log).
    pub async fn find_run(&self, id: RunId) -> Result<Option<Run>, PrivacyError> {
        let run = self.log.find(id).await;
        run.map_err(log_failed("find a run"))
    }

    /// The report of the latest compliance run that succeeded.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Log`](PrivacyError::Log).
    pub async fn latest_report(&self) -> Result<Option<ComplianceReport>, PrivacyError> {
        let run = self.log.last_success(Operation::Compliance).await;
        let run = run.map_err(log_failed("find a report"))?;
        Ok(run.and_then(|run| run.report))
    }

    /// The time of day, cut to what every store can hold.
    pub(crate) fn now(&self) -> Timestamp {
        stored_now(&*self.clock)
    }

    /// Does `work` under the operation's lock and stores the run, or stores that it was skipped.
    pub(crate) async fn exclusive(
        &self,
        mut run: Run,
        work: impl AsyncFnOnce(&mut Run, LeaseContext) -> Result<(), PrivacyError>,
    ) -> Result<Run, PrivacyError> {
        let operation = run.operation;
        let mut stored = Ok(());
        let held = self.lock(operation).try_run(async |lease| {
            stored = self.run_logged(&mut run, lease, work).await;
        });
        match held.await {
            Ok(Some(())) => stored?,
            Ok(None) => {
                run.status = RunStatus::Skipped;
                run.finished_at = Some(run.started_at);
                self.log
                    .begin(&run)
                    .await
                    .map_err(log_failed("store a skipped run"))?;
            }
            // The work knew of the loss and is over: what it stored is what counts.
            Err(steadfast_lease::LeaseError::Lost(_)) => stored?,
            Err(source) => return Err(PrivacyError::Lock { operation, source }),
        }
        match run.status {
            RunStatus::Failed => Err(PrivacyError::Incomplete { run: Box::new(run) }),
            _ => Ok(run),
        }
    }

    async fn run_logged(
        &self,
        run: &mut Run,
        lease: LeaseContext,
        work: impl AsyncFnOnce(&mut Run, LeaseContext) -> Result<(), PrivacyError>,
    ) -> Result<(), PrivacyError> {
        self.log
            .begin(run)
            .await
            .map_err(log_failed("store the beginning of a run"))?;
        let worked = work(run, lease).await;
        if let Err(error) = &worked {
            run.error = Some(crate::error::in_full(error));
        }
        let succeeded = run.error.is_none() && run.policies.iter().all(|p| p.error.is_none());
        run.status = match succeeded {
            true => RunStatus::Succeeded,
            false => RunStatus::Failed,
        };
        run.finished_at = Some(self.now());
        self.retry
            .run(|_| self.log.finish(run), decide)
            .await
            .map_err(exhausted("store the end of a run"))?;
        worked
    }

    fn lock(&self, operation: Operation) -> &LeaseLock {
        match operation {
            Operation::Cleanup => &self.cleanup_lock,
            Operation::Compliance => &self.compliance_lock,
            Operation::Erasure => &self.erasure_lock,
        }
    }

    fn stop_token(&self) -> MutexGuard<'_, CancellationToken> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_run(&self, id: RunId, operation: Operation, trigger: Trigger) -> Run {
        Run {
            id,
            operation,
            trigger,
            started_at: self.now(),
            finished_at: None,
            status: RunStatus::Running,
            error: None,
            policies: Vec::new(),
            report: None,
        }
    }
}

impl fmt::Debug for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Privacy")
            .field("policies", &self.base_policies)
            .finish_non_exhaustive()
    }
}

pub(crate) fn log_failed(action: &'static str) -> impl FnOnce(PortError) -> PrivacyError {
    move |source| PrivacyError::Log { action, source }
}

pub(crate) fn exhausted(
    action: &'static str,
) -> impl FnOnce(RetryError<PortError>) -> PrivacyError {
    move |error| {
        let source = error
            .into_last()
            .unwrap_or_else(|| PortError::transient("it does not answer in time"));
        PrivacyError::Log { action, source }
    }
}

pub(crate) fn decide(error: &PortError) -> Decision {
    if error.is_transient() {
        Decision::Retry
    } else {
        Decision::Stop
    }
}
