use std::time::Duration;

use async_trait::async_trait;
use steadfast_scheduler::{
    Execution, Job, JobKey, Misfire as JobMisfire, Overlap, RunNow, Scheduler, SchedulerError,
};

use crate::{Jobs, Misfire, PortError, Schedule, ScheduleId, timetable::Timetable};

/// How many missed occurrences of a schedule with [`Misfire::All`] fire at most.
const MAX_MISSED: u32 = 100;

/// How old a missed occurrence may be that still fires under [`Misfire::All`].
const MISSED_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a run may take; longer than [`ScheduleFired`](crate::ScheduleFired) ever tries.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The jobs of a [`Scheduler`], one a schedule, under the schedule's id.
///
/// Each occurrence is run at least once, so that none is lost with a process, and is stored once
/// all the same: [`Notifications::fire`](crate::Notifications::fire) stores an occurrence once.
#[derive(Clone, Debug)]
pub struct SchedulerJobs {
    scheduler: Scheduler,
}

impl SchedulerJobs {
    /// The jobs of `scheduler`, which is theirs alone.
    #[must_use]
    pub const fn new(scheduler: Scheduler) -> Self {
        Self { scheduler }
    }
}

#[async_trait]
impl Jobs for SchedulerJobs {
    async fn upsert(&self, schedule: &Schedule) -> Result<(), PortError> {
        if !schedule.enabled {
            return self.remove(schedule.id).await;
        }
        let upserted = self.scheduler.upsert(job(schedule)?).await;
        upserted.map(drop).map_err(port_error)
    }

    async fn remove(&self, id: ScheduleId) -> Result<(), PortError> {
        let removed = self.scheduler.remove(&key(id)).await;
        removed.map(drop).map_err(port_error)
    }

    async fn run_now(&self, id: ScheduleId) -> Result<(), PortError> {
        match self.scheduler.run_now(&key(id)).await.map_err(port_error)? {
            RunNow::Accepted { .. } => Ok(()),
            RunNow::Skipped => Err(PortError::transient("too many runs of it are under way")),
            // Its row is out of sync, which does not last.
            RunNow::Unknown => Err(PortError::transient("the scheduler does not know it yet")),
        }
    }
}

fn key(id: ScheduleId) -> JobKey {
    JobKey::from(id.to_string())
}

fn job(schedule: &Schedule) -> Result<Job, PortError> {
    let Some(Timetable { spec, tz }) = Timetable::of(schedule) else {
        return Err(PortError::permanent(
            "its expression or zone is no longer valid",
        ));
    };
    let misfire = match schedule.misfire {
        Misfire::Skip => JobMisfire::Skip,
        Misfire::Once => JobMisfire::OnceLatest,
        Misfire::All => JobMisfire::All {
            max: MAX_MISSED,
            window: MISSED_WINDOW,
        },
    };
    Ok(Job::new(key(schedule.id), spec, tz)
        .misfire(misfire)
        // While the database stalls, what falls due must wait and not be skipped: how many are
        // at work at once is bounded by the scheduler as a whole.
        .overlap(Overlap::Allow(u32::MAX))
        .execution(Execution::AtLeastOnce)
        .timeout(TIMEOUT))
}

fn port_error(error: SchedulerError) -> PortError {
    let is_transient = match &error {
        SchedulerError::Store { source, .. } => source.is_transient(),
        SchedulerError::Validate { .. } => false,
        _ => true,
    };
    if is_transient {
        PortError::transient(error)
    } else {
        PortError::permanent(error)
    }
}
