use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::JobKey;

/// One run of one occurrence, as the handler receives it.
#[derive(Clone, Debug)]
pub struct Fire {
    /// Whose occurrence it is.
    pub key: JobKey,
    /// The version of the job that it belongs to; grows with every change of the job.
    pub generation: u64,
    /// The instant named by the schedule, or, for [`Cause::Manual`], that of the request. With
    /// the namespace and the key it identifies the occurrence: deduplicate effects by it.
    pub scheduled_for: Timestamp,
    /// How long after `scheduled_for` the run started.
    pub late: Duration,
    /// Grows with every claim: a store that remembers the greatest it has seen can refuse a run
    /// that was overtaken.
    pub fence: u64,
    /// Why it fires.
    pub cause: Cause,
    /// Cancelled when the run should end: shut down, replaced, out of time, or its lease lost.
    pub cancel: CancellationToken,
}

/// Why an occurrence fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its time came.
    Scheduled,
    /// Its time had passed by more than the grace, and the job's `Misfire` policy chose it.
    Misfire,
    /// Somebody asked for it with `run_now`.
    Manual,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler returned `Ok`.
    Succeeded,
    /// The handler returned an error.
    Failed {
        /// The error with its sources.
        message: String,
    },
    /// The handler panicked.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The run took longer than the job's timeout and was dropped.
    TimedOut,
    /// The run was stopped: replaced, its lease lost, or shut down past the deadline.
    Aborted,
    /// The process died, and the run was not repeated.
    Abandoned,
    /// The job was changed or removed after the claim and before the start: the handler was not
    /// called.
    Superseded,
}
