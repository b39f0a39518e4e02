//! The privacy operations as jobs of a scheduler: the one way in for the clock and for people.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use steadfast_privacy::{MAX_DURATION, Operation, Privacy, Trigger};
use steadfast_scheduler::{
    Dialect, Fire, Job, JobError, JobHandler, JobKey, Scheduler, SchedulerError, Spec,
};

/// Cleanup every night at two, compliance on Sundays at three, both in UTC; erasure every hour.
const PLAN: [(Operation, &str); 3] = [
    (Operation::Cleanup, "0 2 * * *"),
    (Operation::Compliance, "0 3 * * 0"),
    (Operation::Erasure, "17 * * * *"),
];

/// Longer than [`Privacy`] allows itself, so that it is the operation that ends and says how.
const TIMEOUT: Duration = MAX_DURATION.saturating_add(Duration::from_secs(3_600));

/// Runs the privacy operation that a job's key names.
#[derive(Debug)]
pub struct PrivacyRuns {
    privacy: Arc<Privacy>,
}

impl PrivacyRuns {
    /// Runs operations of `privacy`.
    #[must_use]
    pub fn new(privacy: Arc<Privacy>) -> Self {
        Self { privacy }
    }
}

#[async_trait]
impl JobHandler for PrivacyRuns {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        let key = fire.key.as_str();
        let operation = Operation::from_name(key)
            .ok_or_else(|| JobError::new(format!("there is no operation `{key}`")))?;
        let run = self.privacy.run(operation, Trigger::Schedule).await;
        run.map(drop).map_err(JobError::new)
    }
}

/// Puts the operations' jobs into their scheduler.
///
/// # Errors
///
/// If the scheduler's store fails.
///
/// # Cancel safety
///
/// Dropped midway, some are in: call it again.
pub async fn plan(scheduler: &Scheduler) -> Result<(), SchedulerError> {
    for (operation, cron) in PLAN {
        // The table above is tested to be valid.
        let Ok(spec) = Spec::parse(cron, Dialect::Posix5) else {
            continue;
        };
        let job = Job::new(key(operation), spec, TimeZone::UTC).timeout(TIMEOUT);
        scheduler.upsert(job).await?;
    }
    Ok(())
}

/// The key of an operation's job.
fn key(operation: Operation) -> JobKey {
    JobKey::from(operation.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_is_valid() {
        for (_, cron) in PLAN {
            Spec::parse(cron, Dialect::Posix5).unwrap();
        }
    }
}
