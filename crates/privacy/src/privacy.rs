use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use steadfast_clock::{Clock, SystemClock};
use steadfast_lease::{LeaseContext, LeaseLock, LockBackend};
use steadfast_sync::{Decision, Retry, RetryError};
use uuid::Uuid;

use crate::{
    BuildError, ComplianceReport, Erasures, Operation, PortError, PrivacyError, RetentionPolicy,
    RetentionStore, Run, RunId, RunLog, RunStatus, Trigger,
    stamps::{NewId, random_ids, stored_now},
};

/// How many runs [`Privacy::runs`] returns at most.
pub const MAX_RUNS: u32 = 200;

/// How long a cleanup may take unless another time is set.
pub const MAX_DURATION: Duration = Duration::from_secs(4 * 60 * 60);

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
/// - Deletion goes in batches with pauses, so that others get their turns at the store.
/// - Every figure of a report is measured from the rows.
pub struct Privacy {
    pub(crate) store: Arc<dyn RetentionStore>,
    pub(crate) log: Arc<dyn RunLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: Vec<RetentionPolicy>,
    pub(crate) batch: u32,
    pub(crate) pause: Duration,
    pub(crate) max_duration: Duration,
    pub(crate) retry: Retry,
    pub(crate) erasures: Option<Erasures>,
    new_id: NewId,
    cleanup_lock: LeaseLock,
    compliance_lock: LeaseLock,
    erasure_lock: LeaseLock,
}

/// Sets up [`Privacy`].
pub struct PrivacyBuilder {
    store: Arc<dyn RetentionStore>,
    log: Arc<dyn RunLog>,
    locks: Arc<dyn LockBackend>,
    clock: Arc<dyn Clock>,
    policies: Vec<RetentionPolicy>,
    owner: String,
    batch: u32,
    pause: Duration,
    max_duration: Duration,
    erasures: Option<Erasures>,
    new_id: NewId,
}

impl PrivacyBuilder {
    /// Replaces the clock; the machine's by default. The lock backend must have the same one.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Replaces the policies; [`RetentionPolicy::defaults`] without it.
    #[must_use]
    pub fn policies(mut self, policies: Vec<RetentionPolicy>) -> Self {
        self.policies = policies;
        self
    }

    /// Sets the name of this process in the locks; `privacy` by default.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// Sets how many records one transaction deletes; 500 by default.
    #[must_use]
    pub fn batch(mut self, records: u32) -> Self {
        self.batch = records;
        self
    }

    /// Sets the time between two batches; 50 ms by default.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sets how long a cleanup may take; [`MAX_DURATION`] by default. The next one goes on where it ended.
    #[must_use]
    pub fn max_duration(mut self, max_duration: Duration) -> Self {
        self.max_duration = max_duration;
        self
    }

    /// Carries out requests for erasure, by [`Privacy::erase`]; none by default.
    #[must_use]
    pub fn erasures(mut self, erasures: Erasures) -> Self {
        self.erasures = Some(erasures);
        self
    }

    /// Sets where the ids of runs come from, given the time; UUIDv7 with the system's randomness
    /// by default.
    #[must_use]
    pub fn ids(mut self, new_id: impl Fn(Timestamp) -> Uuid + Send + Sync + 'static) -> Self {
        self.new_id = Arc::new(new_id);
        self
    }

    /// Builds the service.
    ///
    /// # Errors
    ///
    /// If a policy is outside of its caps or there are two for the same records, or a setting
    /// does not work.
    pub fn build(self) -> Result<Privacy, BuildError> {
        let invalid = |field: &str, problem: &str| BuildError {
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        if self.batch == 0 {
            return Err(invalid("batch", "must be at least one"));
        }
        if self.max_duration.is_zero() {
            return Err(invalid("max_duration", "must be longer than nothing"));
        }
        let mut seen = HashSet::new();
        for policy in &self.policies {
            policy.check()?;
            if !seen.insert(policy.records) {
                return Err(invalid(
                    "policies",
                    &format!("name {} twice", policy.records),
                ));
            }
        }
        let lock = |operation: Operation| {
            let key = format!("privacy/{}", operation.name());
            let lock = LeaseLock::builder(self.locks.clone(), key, self.owner.clone());
            let lock = lock.clock(self.clock.clone()).build();
            lock.map_err(|error| invalid("owner", &error.to_string()))
        };
        let retry = Retry::builder().name("privacy store").max_attempts(4);
        let retry = retry.deadline(Duration::from_secs(20)).build();
        Ok(Privacy {
            cleanup_lock: lock(Operation::Cleanup)?,
            compliance_lock: lock(Operation::Compliance)?,
            erasure_lock: lock(Operation::Erasure)?,
            erasures: self.erasures,
            retry: retry.map_err(|error| invalid("retry", &error.to_string()))?,
            store: self.store,
            log: self.log,
            clock: self.clock,
            policies: self.policies,
            batch: self.batch,
            pause: self.pause,
            max_duration: self.max_duration,
            new_id: self.new_id,
        })
    }
}

impl Privacy {
    /// Starts to set the service up.
    #[must_use]
    pub fn builder(
        store: Arc<dyn RetentionStore>,
        log: Arc<dyn RunLog>,
        locks: Arc<dyn LockBackend>,
    ) -> PrivacyBuilder {
        PrivacyBuilder {
            store,
            log,
            locks,
            clock: Arc::new(SystemClock),
            policies: RetentionPolicy::defaults(),
            owner: "privacy".to_owned(),
            batch: 500,
            pause: Duration::from_millis(50),
            max_duration: MAX_DURATION,
            erasures: None,
            new_id: random_ids(),
        }
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

    /// Deletes what is past retention.
    ///
    /// A run that meets another one at work does nothing and is
    /// [`Skipped`](RunStatus::Skipped); that is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops between two batches or lets go of one, and leaves its run behind as
    /// running, and its lock to expire; the next run marks it as failed and deletes the rest.
    ///
    /// # Errors
    ///
    /// [`Incomplete`](PrivacyError::Incomplete) if any policy failed,
    /// [`Lock`](PrivacyError::Lock), [`Log`](PrivacyError::Log).
    pub async fn cleanup(&self, trigger: Trigger) -> Result<Run, PrivacyError> {
        self.exclusive(Operation::Cleanup, trigger, async |run, lease| {
            self.delete_expired(run, lease).await
        })
        .await
    }

    /// Measures how far the policies are kept, and stores the report.
    ///
    /// A run that meets another one at work does nothing and is
    /// [`Skipped`](RunStatus::Skipped); that is no error.
    ///
    /// # Cancel safety
    ///
    /// As [`cleanup`](Self::cleanup); it deletes nothing.
    ///
    /// # Errors
    ///
    /// [`Incomplete`](PrivacyError::Incomplete) if anything could not be measured; the report is
    /// in the run all the same. [`Lock`](PrivacyError::Lock), [`Log`](PrivacyError::Log).
    pub async fn compliance(&self, trigger: Trigger) -> Result<Run, PrivacyError> {
        self.exclusive(Operation::Compliance, trigger, async |run, lease| {
            self.measure(run, lease).await;
            Ok(())
        })
        .await
    }

    /// The policies in force.
    #[must_use]
    pub fn policies(&self) -> &[RetentionPolicy] {
        &self.policies
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
        operation: Operation,
        trigger: Trigger,
        work: impl AsyncFnOnce(&mut Run, LeaseContext) -> Result<(), PrivacyError>,
    ) -> Result<Run, PrivacyError> {
        let mut run = self.new_run(operation, trigger);
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

    fn new_run(&self, operation: Operation, trigger: Trigger) -> Run {
        let started_at = self.now();
        Run {
            id: RunId::new((self.new_id)(started_at)),
            operation,
            trigger,
            started_at,
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
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PrivacyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivacyBuilder")
            .field("policies", &self.policies)
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
