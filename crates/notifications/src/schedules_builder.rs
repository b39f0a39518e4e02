use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::AsyncLock;

use crate::{BuildError, IdSource, JobSync, Jobs, ScheduleStore, Schedules};

/// Sets up [`Schedules`].
#[derive(Clone)]
pub struct SchedulesBuilder {
    store: Arc<dyn ScheduleStore>,
    jobs: Arc<dyn Jobs>,
    ids: Arc<dyn IdSource>,
    clock: Arc<dyn Clock>,
    min_interval: Duration,
    max_per_user: u32,
}

impl SchedulesBuilder {
    pub(crate) fn new(
        store: Arc<dyn ScheduleStore>,
        jobs: Arc<dyn Jobs>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            store,
            jobs,
            ids,
            clock: Arc::new(SystemClock),
            min_interval: Duration::from_secs(60),
            max_per_user: 1_000,
        }
    }

    /// Replaces the clock; the machine's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the shortest time between two fires that a schedule may have; 60 s by default.
    #[must_use]
    pub fn min_interval(mut self, min_interval: Duration) -> Self {
        self.min_interval = min_interval;
        self
    }

    /// Sets how many schedules a user may have; 1 000 by default.
    #[must_use]
    pub fn max_per_user(mut self, max_per_user: u32) -> Self {
        self.max_per_user = max_per_user;
        self
    }

    /// Builds the service.
    ///
    /// # Errors
    ///
    /// If `min_interval` is below a second, or `max_per_user` is zero.
    pub fn build(self) -> Result<Schedules, BuildError> {
        if self.min_interval < Duration::from_secs(1) {
            return Err(BuildError {
                field: "min_interval",
                problem: "must be at least a second",
            });
        }
        if self.max_per_user == 0 {
            return Err(BuildError {
                field: "max_per_user",
                problem: "must be at least one",
            });
        }
        Ok(Schedules {
            sync: JobSync::new(self.store.clone(), self.jobs.clone()),
            store: self.store,
            jobs: self.jobs,
            ids: self.ids,
            clock: self.clock,
            locks: AsyncLock::builder()
                .name("schedules of a user")
                .build()
                .unwrap_or_default(),
            min_interval: self.min_interval,
            max_per_user: self.max_per_user,
        })
    }
}

impl fmt::Debug for SchedulesBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulesBuilder")
            .field("min_interval", &self.min_interval)
            .field("max_per_user", &self.max_per_user)
            .finish_non_exhaustive()
    }
}
