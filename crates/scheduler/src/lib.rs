//! Per-key cron jobs in one driver: a job for every user, right in every time zone, none lost when
//! thousands fall due in the same second, and one claim for each occurrence across processes.
//!
//! For: services that run something for each of many keys, by schedules that users choose and
//! change. Not for: work that has no schedule (that is a queue), intervals below a second, and
//! workflows of several steps.
//!
//! A [`Spec`] says when: a cron expression in an explicit [`Dialect`], or `@every 90s`. A [`Job`]
//! gives it a key, a time zone and a [`Policy`]. A [`Scheduler`] keeps jobs in a [`JobStore`],
//! claims what is due and calls your [`JobHandler`] with a [`Fire`].
//!
//! # Guarantees
//!
//! - One entry for each key. After [`Scheduler::upsert`], [`Scheduler::remove`] or
//!   [`Scheduler::pause`] has returned, no fire of an older generation starts in this process.
//! - Updates of one key are serialised, every one is applied, and the last one wins.
//! - A changed schedule goes on later than both now and the last occurrence claimed; an unchanged
//!   one is a no-op.
//! - Exactly one *claim* of every occurrence, by primary key, however many processes compete. Its
//!   *execution* is at least once or at most once, as the job's [`Execution`] says. Effects are
//!   once only if they are in one transaction with their own record or are deduplicated by
//!   namespace, key and [`Fire::scheduled_for`].
//! - Instants are a pure function of the expression, the zone and the [`Dst`] rules, so that a
//!   restart changes nothing; they are strictly monotone across every transition.
//! - Occurrences up to the grace (60 s) late fire each; later ones follow [`Misfire`]. Occurrences
//!   during a run follow [`Overlap`]. If the wall clock goes back, nothing fires twice.
//! - Where processes of several hosts share a store, its time counts, and not their wall clocks,
//!   which may be wrong by any amount.
//! - Errors, panics and timeouts are outcomes: stored with the job, and harmless to others.
//! - After [`Scheduler::shutdown`] there are no tasks and no timers, and it can be started again.
//! - Errors and panics of the store are logged, and its calls retried with backoff and jitter; runs
//!   whose process died are claimed again when their lease (10 s) has ended.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `postgres` | `PostgresJobStore` for processes on any number of hosts, and its `MIGRATIONS` |
//! | `sqlite` | `SqliteJobStore` for the processes of one host, and its `MIGRATIONS` |
//! | `mocks` | mockall doubles of [`JobStore`] and [`JobHandler`] |
//! | `test-util` | `conformance`, the suite for any [`JobStore`], and `Recorder`, a handler for tests |
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use steadfast_scheduler::{
//!     Dialect, Fire, Job, JobError, JobHandler, MemoryJobStore, Scheduler, Spec,
//! };
//! use tokio::sync::mpsc;
//!
//! struct Digest(mpsc::Sender<String>);
//!
//! #[async_trait::async_trait]
//! impl JobHandler for Digest {
//!     async fn run(&self, fire: Fire) -> Result<(), JobError> {
//!         self.0.send(fire.key.to_string()).await.map_err(JobError::new)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (sent, mut received) = mpsc::channel(10);
//! let store = Arc::new(MemoryJobStore::new());
//! let scheduler = Scheduler::builder("digests", store, Arc::new(Digest(sent))).build()?;
//! scheduler.start().await;
//!
//! let weekdays = Spec::parse("0 9 * * MON-FRI", Dialect::Posix5)?;
//! let berlin = jiff::tz::TimeZone::get("Europe/Berlin")?;
//! scheduler.upsert(Job::new("user:42", weekdays, berlin)).await?;
//!
//! scheduler.run_now(&"user:42".into()).await?;
//! assert_eq!(received.recv().await.as_deref(), Some("user:42"));
//! scheduler.shutdown(Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```

#[cfg(any(feature = "postgres", feature = "sqlite"))]
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
mod store_time;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use adapters::MIGRATIONS;
#[cfg(feature = "postgres")]
pub use adapters::PostgresJobStore;
#[cfg(feature = "sqlite")]
pub use adapters::SqliteJobStore;
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
    RunId, RunNow, Upserted, Wake,
};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{MockJobHandler, MockJobStore};
#[cfg(feature = "test-util")]
pub use recorder::{Behaviour, Recorder};
pub use scheduler::Scheduler;
pub use spec::{Field, Spec, SpecError, Upcoming};
