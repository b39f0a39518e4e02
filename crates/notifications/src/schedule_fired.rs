use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use steadfast_scheduler::{Fire, JobError, JobHandler};
use steadfast_sync::{Decision, Retry};
use tracing::debug;

use crate::{
    BuildError, FireOutcome, NotificationError, Notifications, ScheduleId, ScheduleStore,
    StoredSchedule,
};

/// How long a store that fails is asked again to store an occurrence.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What the scheduler runs at each occurrence of a schedule: it stores the notification.
///
/// An occurrence of a schedule that has been paused or deleted meanwhile is nothing to do, and one
/// that comes twice is stored once. A store that fails for the moment is asked again, with
/// jittered backoff, for up to ten minutes.
///
/// It does not heed the fire's cancellation: to give up would be an outcome, and the occurrence
/// lost. Dropped instead, it leaves the occurrence to be run again.
pub struct ScheduleFired {
    schedules: Arc<dyn ScheduleStore>,
    notifications: Arc<Notifications>,
    retry: Retry,
}

impl ScheduleFired {
    /// Stores the notifications of the schedules in `schedules`.
    ///
    /// # Errors
    ///
    /// If the retries cannot be set up.
    pub fn new(
        schedules: Arc<dyn ScheduleStore>,
        notifications: Arc<Notifications>,
    ) -> Result<Self, BuildError> {
        let retry = Retry::builder().name("schedule fired").max_attempts(10_000);
        let retry = retry.deadline(PATIENCE).build().map_err(|_| BuildError {
            field: "retry",
            problem: "has bounds that do not work",
        })?;
        Ok(Self {
            schedules,
            notifications,
            retry,
        })
    }

    async fn store(&self, fire: &Fire) -> Result<(), NotificationError> {
        let Ok(id) = fire.key.as_str().parse::<ScheduleId>() else {
            debug!(key = %fire.key, "a job of somebody else");
            return Ok(());
        };
        let loaded = self.schedules.load(id).await;
        let loaded = loaded.map_err(|source| NotificationError::Store {
            operation: "read a schedule",
            source,
        })?;
        let outcome = match loaded {
            Some(StoredSchedule::Live(schedule)) => {
                self.notifications
                    .fire(&schedule, fire.scheduled_for)
                    .await?
            }
            Some(StoredSchedule::Tombstone) | None => FireOutcome::NotEnabled,
        };
        match outcome {
            FireOutcome::Stored(_) => {}
            FireOutcome::AlreadyStored => debug!(%id, at = %fire.scheduled_for, "stored before"),
            FireOutcome::NotEnabled => debug!(%id, at = %fire.scheduled_for, "no longer enabled"),
        }
        Ok(())
    }
}

#[async_trait]
impl JobHandler for ScheduleFired {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        let stored = self.retry.run(|_| self.store(&fire), decide).await;
        stored.map_err(JobError::new)
    }
}

impl fmt::Debug for ScheduleFired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScheduleFired").finish_non_exhaustive()
    }
}

fn decide(error: &NotificationError) -> Decision {
    match error {
        NotificationError::Store { source, .. } if source.is_transient() => Decision::Retry,
        _ => Decision::Stop,
    }
}
