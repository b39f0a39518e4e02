use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Cause, Fire, Job, JobError, JobKey, Outcome, Policy, StoreError};

/// Does the work of every occurrence.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait JobHandler: Send + Sync + 'static {
    /// Runs one occurrence.
    ///
    /// It should end soon after `fire.cancel` is cancelled. A panic is an outcome of the run, as
    /// an error is; neither disturbs other runs.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the job's timeout passes, and when it is still at work after
    /// the deadline of a shutdown or the grace of a replacement.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from doing its work; the scheduler stores the text.
    async fn run(&self, fire: Fire) -> Result<(), JobError>;
}

/// Where jobs and runs are kept, and where occurrences are claimed.
///
/// Every operation is atomic, and operations on one key are serialised: the later call wins and
/// none is dropped. Namespaces are independent of each other. The rules that decide which
/// occurrences fire are those of [`JobState`](crate::JobState); a store keeps the rows.
///
/// # Cancel safety
///
/// A future dropped before it is done has had either its whole effect or none.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// Inserts a job or changes it.
    ///
    /// An equal job is a no-op. Any change begins a new generation, greater than every one
    /// before it in this namespace, and drops occurrences of older ones that are not running. If
    /// what the instants depend on has changed (spec, zone, jitter, DST rules), the next fire
    /// becomes the first later than both `now` and the last one claimed.
    ///
    /// # Errors
    ///
    /// If the store fails; nothing was changed then.
    async fn upsert(
        &self,
        namespace: &str,
        job: &Job,
        now: Timestamp,
    ) -> Result<Upserted, StoreError>;

    /// Removes a job and its occurrences that are not running; returns the generation that ends
    /// with it, `None` if there was none.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn remove(&self, namespace: &str, key: &JobKey) -> Result<Option<u64>, StoreError>;

    /// Pauses a job, or resumes it from `now` on; `None` if there is none. A no-op if it is so
    /// already; otherwise it begins a new generation.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn set_paused(
        &self,
        namespace: &str,
        key: &JobKey,
        paused: bool,
        now: Timestamp,
    ) -> Result<Option<Upserted>, StoreError>;

    /// Asks for a run outside of the schedule, to be claimed like any other.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn request_run(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<RunNow, StoreError>;

    /// Claims occurrences that are due, and runs whose lease has ended, the earliest first.
    ///
    /// Each occurrence is claimed once, whoever asks; the fence of a claim is greater than every
    /// one before it in this namespace.
    ///
    /// # Errors
    ///
    /// If the store fails. A claim may have been made although its reply was lost: it is found
    /// again when its lease has ended.
    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claimed, StoreError>;

    /// Extends the leases of runs until `lease_until`; returns those that are not the owner's
    /// any more.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn renew(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[RunId],
        lease_until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError>;

    /// Stores how runs ended, and lets the next occurrences of their jobs fall due.
    ///
    /// A run that is not the owner's any more is left alone. Returns when the first of the jobs
    /// concerned falls due next.
    ///
    /// # Errors
    ///
    /// If the store fails; calling again with the same runs is safe.
    async fn finish(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[FinishedRun],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// When the next occurrence falls due or a lease ends.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn next_due(&self, namespace: &str) -> Result<Option<Timestamp>, StoreError>;

    /// What is known of a job.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn status(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<Option<JobStatus>, StoreError>;

    /// Deletes up to `limit` runs that ended before `before`; returns how many.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn purge_runs(
        &self,
        namespace: &str,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// The store's time, if its callers are on different hosts and have to agree on one; `None`,
    /// which is the default, if their own clocks count.
    ///
    /// A scheduler that gets one asks again every few seconds and goes by it in all other calls.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Calls `wake` with the time from which on there may be something to claim whenever another
    /// process has changed something in `namespace`, for as long as the future is polled.
    ///
    /// Calls may be lost or superfluous: the scheduler also looks by itself. The default never
    /// calls.
    async fn watch(&self, namespace: &str, wake: Wake) {
        let _ = (namespace, wake);
        std::future::pending().await
    }
}

/// Tells a scheduler from when on there may be something to claim.
pub type Wake = Arc<dyn Fn(Timestamp) + Send + Sync>;

/// What an upsert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upserted {
    /// The job's version from now on.
    pub generation: u64,
    /// Its next fire; `None` if it is paused or there is none.
    pub next_fire: Option<Timestamp>,
    /// Whether anything changed.
    pub changed: bool,
}

/// What became of a request to run a job now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunNow {
    /// It will run as soon as its overlap policy and the scheduler's concurrency allow. A
    /// request that has not begun yet is replaced by a later one.
    Accepted {
        /// Identifies the run: its [`Fire::scheduled_for`].
        scheduled_for: Timestamp,
    },
    /// As many runs as the job's overlap policy allows are at work, so it was skipped.
    Skipped,
    /// There is no such job.
    Unknown,
}

/// What is known of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The next instant of the schedule at which it fires; `None` if it is paused or there is
    /// none.
    pub next_fire: Option<Timestamp>,
    /// How many runs are claimed and have not ended, in all processes.
    pub running: u32,
    /// The run that ended last.
    pub last: Option<LastRun>,
    /// How many occurrences were skipped because of the misfire and overlap policies. After an
    /// absence, up to [`JobState::MAX_COUNTED`](crate::JobState::MAX_COUNTED) at once are counted.
    pub skipped: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Its version; grows with every change.
    pub generation: u64,
}

/// The run of a job that ended last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Which occurrence it was.
    pub scheduled_for: Timestamp,
    /// When its end was stored.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
}

/// Who claims what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The namespace.
    pub namespace: String,
    /// Who claims; unique to a process and its start.
    pub owner: String,
    /// The time: the store's, if it has [its own](JobStore::time).
    pub now: Timestamp,
    /// Until when the claims hold if they are not renewed.
    pub lease_until: Timestamp,
    /// How late an occurrence may be without being a misfire.
    pub grace: Duration,
    /// How many runs to claim at most.
    pub limit: usize,
}

/// What was claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The runs, the earliest first.
    pub runs: Vec<Run>,
    /// When there is more to claim; not later than `now` if the limit was reached.
    pub next_due: Option<Timestamp>,
}

/// Identifies one claim of one occurrence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    /// Whose occurrence it is.
    pub key: JobKey,
    /// Which occurrence.
    pub scheduled_for: Timestamp,
    /// Which claim of it.
    pub fence: u64,
}

/// A claimed occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its identity.
    pub id: RunId,
    /// The version of the job that it belongs to.
    pub generation: u64,
    /// Why it fires.
    pub cause: Cause,
    /// How the job wants it to be treated.
    pub policy: Policy,
}

/// A run and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRun {
    /// Which run.
    pub id: RunId,
    /// How it ended.
    pub ending: Ending,
}

/// How a claim ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run is over.
    Done(Outcome),
    /// The claim is given back: anybody may claim the occurrence again at once.
    Released,
}
