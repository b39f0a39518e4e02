use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_sync::AsyncLock;

use crate::{
    IdSource, InsertOutcome, JobSync, Jobs, NewSchedule, Page, PageRequest, PortError, Preview,
    PreviewRequest, RemoveOutcome, Schedule, ScheduleError, ScheduleId, SchedulePatch,
    ScheduleStore, ScheduleView, SchedulesBuilder, UpdateOutcome, UserId,
    schedule_input::ScheduleInput, timetable::Timetable, validation::Findings, wall,
};

/// How often an update without an expected version is tried against other processes.
const MAX_ATTEMPTS: u32 = 16;

/// How many coming fires a [`ScheduleView`] shows.
const VIEW_FIRES: usize = 5;

/// What users do with their schedules.
///
/// # Guarantees
///
/// - Changes of one user's schedules are serialised: each is applied to what the one before left,
///   none is dropped, and each accepted one grows the version by one. Other processes are kept
///   off by the stored version.
/// - The scheduler's job follows the stored row: at once as a rule, and after a crash or a failure
///   in between as soon as [`JobSync`] runs.
/// - A paused schedule does not fire, from the moment at which [`pause`](Self::pause) returns.
/// - A user sees and changes nothing of another user: what is not theirs is not found.
/// - What is not valid is refused with every field at fault, not only the first.
pub struct Schedules {
    pub(crate) store: Arc<dyn ScheduleStore>,
    pub(crate) jobs: Arc<dyn Jobs>,
    pub(crate) sync: JobSync,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) locks: AsyncLock<UserId>,
    pub(crate) min_interval: Duration,
    pub(crate) max_per_user: u32,
}

impl Schedules {
    /// Starts to set the service up.
    #[must_use]
    pub fn builder(
        store: Arc<dyn ScheduleStore>,
        jobs: Arc<dyn Jobs>,
        ids: Arc<dyn IdSource>,
    ) -> SchedulesBuilder {
        SchedulesBuilder::new(store, jobs, ids)
    }

    /// What keeps the scheduler in line with the stored schedules; run it while the service runs.
    #[must_use]
    pub const fn job_sync(&self) -> &JobSync {
        &self.sync
    }

    /// Creates a schedule.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has created the schedule as a whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Validate`](ScheduleError::Validate) with every field at fault,
    /// [`LimitReached`](ScheduleError::LimitReached), [`Lock`](ScheduleError::Lock),
    /// [`Store`](ScheduleError::Store).
    pub async fn create(&self, user: UserId, new: NewSchedule) -> Result<Schedule, ScheduleError> {
        let schedule = self.new_schedule(user, new)?;
        let _guard = self.locks.lock(user).await.map_err(ScheduleError::Lock)?;

        let inserted = self.store.insert(&schedule, self.max_per_user).await;
        match inserted.map_err(failed("create a schedule"))? {
            InsertOutcome::Inserted => {}
            InsertOutcome::LimitReached => {
                let limit = self.max_per_user;
                return Err(ScheduleError::LimitReached { limit });
            }
        }
        self.sync.follow(schedule.id).await;
        Ok(schedule)
    }

    /// One schedule of a user.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Find`](ScheduleError::Find), [`Store`](ScheduleError::Store).
    pub async fn get(&self, user: UserId, id: ScheduleId) -> Result<Schedule, ScheduleError> {
        let found = self.store.get(user, id).await;
        let found = found.map_err(failed("read a schedule"))?;
        found.ok_or(ScheduleError::Find { id })
    }

    /// A page of a user's schedules, the oldest first.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Validate`](ScheduleError::Validate) for a bad limit or cursor,
    /// [`Store`](ScheduleError::Store).
    pub async fn list(
        &self,
        user: UserId,
        page: &PageRequest,
    ) -> Result<Page<Schedule>, ScheduleError> {
        let mut findings = Findings::default();
        let after = findings.page(page, |cursor| cursor.parse().ok());
        findings.finish().map_err(ScheduleError::Validate)?;

        let found = self.store.list(user, after, page.limit + 1).await;
        let found = found.map_err(failed("list schedules"))?;
        Ok(Page::cut(found, page.limit, |last| last.id.to_string()))
    }

    /// Changes what `patch` names, if the version is `expected` where that is given.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has changed everything or nothing.
    ///
    /// # Errors
    ///
    /// [`Find`](ScheduleError::Find), [`VersionMismatch`](ScheduleError::VersionMismatch),
    /// [`Validate`](ScheduleError::Validate) with every field at fault,
    /// [`Contended`](ScheduleError::Contended), [`Lock`](ScheduleError::Lock),
    /// [`Store`](ScheduleError::Store).
    pub async fn update(
        &self,
        user: UserId,
        id: ScheduleId,
        patch: &SchedulePatch,
        expected: Option<u64>,
    ) -> Result<Schedule, ScheduleError> {
        let _guard = self.locks.lock(user).await.map_err(ScheduleError::Lock)?;

        for _ in 0..MAX_ATTEMPTS {
            let current = self.get(user, id).await?;
            check_version(expected, current.version)?;
            let changed = self.changed(&current, patch)?;

            let updated = self.store.update(&changed, current.version).await;
            match updated.map_err(failed("change a schedule"))? {
                UpdateOutcome::Updated => {
                    self.sync.follow(id).await;
                    return Ok(changed);
                }
                // Another process was faster: look at what it left.
                UpdateOutcome::Stale { .. } => {}
                UpdateOutcome::Missing => return Err(ScheduleError::Find { id }),
            }
        }
        let attempts = MAX_ATTEMPTS;
        Err(ScheduleError::Contended { id, attempts })
    }

    /// Deletes a schedule, if its version is `expected` where that is given.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has deleted the schedule or not.
    ///
    /// # Errors
    ///
    /// [`Find`](ScheduleError::Find), [`VersionMismatch`](ScheduleError::VersionMismatch),
    /// [`Lock`](ScheduleError::Lock), [`Store`](ScheduleError::Store).
    pub async fn delete(
        &self,
        user: UserId,
        id: ScheduleId,
        expected: Option<u64>,
    ) -> Result<(), ScheduleError> {
        let _guard = self.locks.lock(user).await.map_err(ScheduleError::Lock)?;

        let removed = self.store.remove(user, id, expected).await;
        match removed.map_err(failed("delete a schedule"))? {
            RemoveOutcome::Removed => {
                self.sync.follow(id).await;
                Ok(())
            }
            RemoveOutcome::Stale { actual } => check_version(expected, actual),
            RemoveOutcome::Missing => Err(ScheduleError::Find { id }),
        }
    }

    /// Stops a schedule from firing until it is resumed.
    ///
    /// # Cancel safety
    ///
    /// As [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub async fn pause(&self, user: UserId, id: ScheduleId) -> Result<Schedule, ScheduleError> {
        self.set_enabled(user, id, false).await
    }

    /// Lets a paused schedule fire again, from now on: what it has missed stays missed.
    ///
    /// # Cancel safety
    ///
    /// As [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub async fn resume(&self, user: UserId, id: ScheduleId) -> Result<Schedule, ScheduleError> {
        self.set_enabled(user, id, true).await
    }

    /// Fires a schedule now, beside its plan; the notification follows as soon as the scheduler
    /// has taken it up.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has asked the scheduler or not.
    ///
    /// # Errors
    ///
    /// [`Find`](ScheduleError::Find), [`Paused`](ScheduleError::Paused),
    /// [`Lock`](ScheduleError::Lock), [`Store`](ScheduleError::Store),
    /// [`Jobs`](ScheduleError::Jobs).
    pub async fn run_now(&self, user: UserId, id: ScheduleId) -> Result<(), ScheduleError> {
        let _guard = self.locks.lock(user).await.map_err(ScheduleError::Lock)?;
        if !self.get(user, id).await?.enabled {
            return Err(ScheduleError::Paused { id });
        }
        let run = self.jobs.run_now(id).await;
        run.map_err(|source| ScheduleError::Jobs {
            operation: "run a schedule now",
            source,
        })
    }

    /// Says what an expression means and when it would fire.
    ///
    /// # Errors
    ///
    /// [`Validate`](ScheduleError::Validate) with every field at fault.
    pub fn preview(&self, request: &PreviewRequest) -> Result<Preview, ScheduleError> {
        let from = request.from.unwrap_or_else(|| wall::now(&*self.clock));
        request
            .preview(from, self.min_interval)
            .map_err(ScheduleError::Validate)
    }

    /// The schedule as users see it, with its next five fires; none while it is paused.
    #[must_use]
    pub fn view(&self, schedule: Schedule) -> ScheduleView {
        let now = wall::now(&*self.clock);
        let timetable = schedule.enabled.then(|| Timetable::of(&schedule)).flatten();
        let next_fires = timetable.map(|timetable| timetable.next_fires(now, VIEW_FIRES));
        ScheduleView {
            schedule,
            next_fires: next_fires.unwrap_or_default(),
        }
    }

    async fn set_enabled(
        &self,
        user: UserId,
        id: ScheduleId,
        enabled: bool,
    ) -> Result<Schedule, ScheduleError> {
        let patch = SchedulePatch {
            enabled: Some(enabled),
            ..SchedulePatch::default()
        };
        self.update(user, id, &patch, None).await
    }

    fn new_schedule(&self, user: UserId, new: NewSchedule) -> Result<Schedule, ScheduleError> {
        let now = wall::now(&*self.clock);
        let enabled = new.enabled;
        let input = ScheduleInput::from(new);
        let channels = input
            .validate(self.min_interval)
            .map_err(ScheduleError::Validate)?;
        Ok(Schedule {
            id: ScheduleId::new(self.ids.next_id()),
            version: 1,
            user_id: user,
            cron: input.cron,
            dialect: input.dialect,
            tz: input.tz,
            title: input.title,
            body: input.body,
            channels,
            misfire: input.misfire,
            enabled,
            created_at: now,
            updated_at: now,
        })
    }

    fn changed(
        &self,
        current: &Schedule,
        patch: &SchedulePatch,
    ) -> Result<Schedule, ScheduleError> {
        let input = ScheduleInput::patched(current, patch);
        let channels = input
            .validate(self.min_interval)
            .map_err(ScheduleError::Validate)?;
        Ok(Schedule {
            id: current.id,
            version: current.version + 1,
            user_id: current.user_id,
            cron: input.cron,
            dialect: input.dialect,
            tz: input.tz,
            title: input.title,
            body: input.body,
            channels,
            misfire: input.misfire,
            enabled: patch.enabled.unwrap_or(current.enabled),
            created_at: current.created_at,
            updated_at: wall::now(&*self.clock),
        })
    }
}

impl fmt::Debug for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules")
            .field("min_interval", &self.min_interval)
            .field("max_per_user", &self.max_per_user)
            .finish_non_exhaustive()
    }
}

fn failed(operation: &'static str) -> impl FnOnce(PortError) -> ScheduleError {
    move |source| ScheduleError::Store { operation, source }
}

fn check_version(expected: Option<u64>, actual: u64) -> Result<(), ScheduleError> {
    match expected {
        Some(expected) if expected != actual => {
            Err(ScheduleError::VersionMismatch { expected, actual })
        }
        _ => Ok(()),
    }
}
