//! Per-key cron jobs in one driver: a million schedules, right in every time zone, one claim an occurrence.

mod backoff;
mod builder;
mod dialect;
mod driver;
mod dst;
mod error;
mod execution;
mod fire;
mod job;
mod job_state;
mod live;
mod memory;
mod policy;
mod ports;
mod scheduler;
mod shared;
mod spec;

pub use builder::SchedulerBuilder;
pub use dialect::{Dialect, UnknownDialect};
pub use driver::ShutdownReport;
pub use dst::{Dst, Fold, Gap};
pub use error::{BuildError, InvalidJob, JobError, SchedulerError, StoreError};
pub use fire::{Cause, Fire, Outcome};
pub use job::{Job, JobKey};
pub use job_state::{JobState, Start};
pub use memory::MemoryJobStore;
pub use policy::{Execution, LockName, Misfire, Overlap, Policy};
pub use ports::{
    ClaimRequest, Claimed, Ending, FinishedRun, JobHandler, JobStatus, JobStore, LastRun, Run,
    RunId, RunNow, Upserted,
};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{MockJobHandler, MockJobStore};
pub use scheduler::Scheduler;
pub use spec::{Field, Spec, SpecError, Upcoming};
