//! Per-key cron jobs in one driver: a million schedules, right in every time zone, one claim an occurrence.

mod dialect;
mod dst;
mod fire;
mod job;
mod policy;
mod spec;

pub use dialect::{Dialect, UnknownDialect};
pub use dst::{Dst, Fold, Gap};
pub use fire::{Cause, Fire, Outcome};
pub use job::{Job, JobKey};
pub use policy::{Execution, LockName, Misfire, Overlap, Policy};
pub use spec::{Field, Spec, SpecError, Upcoming};
