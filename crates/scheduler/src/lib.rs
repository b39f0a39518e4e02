//! Per-key cron jobs in one driver: a million schedules, right in every time zone, one claim an occurrence.

#[cfg(feature = "sqlite")]
mod adapters;
mod backoff;
mod builder;
#[cfg(feature = "test-util")]
pub mod conformance;
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
#[cfg(feature = "test-util")]
mod recorder;
mod scheduler;
mod shared;
mod spec;

#[cfg(feature = "sqlite")]
pub use adapters::{MIGRATIONS, SqliteJobStore};
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
#[cfg(feature = "test-util")]
pub use recorder::{Behaviour, Recorder};
pub use scheduler::Scheduler;
pub use spec::{Field, Spec, SpecError, Upcoming};
