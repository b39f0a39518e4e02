use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use steadfast_clock::Instant;
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use crate::{
    Job, JobHandler, JobKey, JobStatus, JobStore, RunNow, SchedulerBuilder, SchedulerError,
    ShutdownReport, StoreError, Upserted,
    driver::Driver,
    shared::{Shared, in_time},
};

/// Runs jobs when they are due: the handle, cheap to clone.
///
/// Jobs can be changed whether it is started or not. Dropping the last handle stops everything
/// at once, as [`shutdown`](Self::shutdown) does not.
#[derive(Clone, Debug)]
pub struct Scheduler {
    pub(crate) shared: Arc<Shared>,
    driver: Arc<Mutex<Option<RunningDriver>>>,
}

/// What is waited for at most when there is no limit.
const FOR_EVER: Duration = Duration::from_secs(10 * 366 * 86_400);

#[derive(Debug)]
struct RunningDriver {
    stop: watch::Sender<Option<Instant>>,
    /// Closed when the driver has ended, with its report or, if it died, without.
    report: watch::Receiver<Option<ShutdownReport>>,
    /// Holds one task; dropping it aborts that.
    _task: JoinSet<()>,
}

impl Scheduler {
    /// Settings for a scheduler of the jobs in `namespace`.
    pub fn builder(
        namespace: impl Into<String>,
        store: Arc<dyn JobStore>,
        handler: Arc<dyn JobHandler>,
    ) -> SchedulerBuilder {
        SchedulerBuilder::new(namespace.into(), store, handler)
    }

    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            driver: Arc::default(),
        }
    }

    /// Whether the driver is at work: started, not shutting down, and not dead of a panic.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn is_running(&self) -> bool {
        let driver = self.driver();
        let running = driver.as_ref().filter(|running| !running.has_ended());
        running.is_some_and(|running| !running.is_stopping())
    }

    /// Waits until the driver has died: it panicked, and nothing is claimed any more until
    /// [`start`](Self::start) is called again, which runs what it left. Without a driver, or if it
    /// is shut down, this never returns.
    ///
    /// A panic of the store, of the handler or of a run kills no driver; one of the clock does.
    /// Watch for it to have the scheduler started again, or its process.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    pub async fn died(&self) {
        let report = self.driver().as_ref().map(|driver| driver.report.clone());
        if let Some(mut report) = report {
            while report.changed().await.is_ok() {}
            if report.borrow().is_none() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Starts to claim and to run what is due. Does nothing if it is started; during a shutdown
    /// it waits for that to end and starts anew.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has not started anything.
    pub async fn start(&self) {
        loop {
            let ending = {
                let mut driver = self.driver();
                match driver.as_ref().filter(|running| !running.has_ended()) {
                    Some(running) if running.is_stopping() => running.report.clone(),
                    Some(_) => return,
                    None => {
                        *driver = Some(self.spawn_driver());
                        return;
                    }
                }
            };
            ended(ending).await;
        }
    }

    /// Stops: claims nothing any more, gives back what has not started, cancels the runs at work
    /// and waits for them up to `within`, then drops them. Takes at most a second longer than
    /// that and the store's answer. Does nothing if it is not started; callers join, and the
    /// first one's limit holds.
    ///
    /// Afterwards there are no tasks and no timers, and [`start`](Self::start) works again.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the shutdown goes on in the background.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let deadline = self.shared.clock.monotonic() + within.min(FOR_EVER);
        let ending = {
            let driver = self.driver();
            let Some(running) = driver.as_ref() else {
                return ShutdownReport::default();
            };
            running.stop.send_if_modified(|stop| {
                let first = stop.is_none();
                stop.get_or_insert(deadline);
                first
            });
            running.report.clone()
        };
        let report = ended(ending).await;
        let mut driver = self.driver();
        if driver.as_ref().is_some_and(RunningDriver::has_ended) {
            *driver = None;
        }
        report
    }

    /// Inserts a job or changes it; an equal job is a no-op.
    ///
    /// When this has returned, no fire of an older generation starts here. If what the instants
    /// depend on has changed, the next fire is later than both now and the last one that was
    /// claimed. Calls for one key are serialised, every one is applied and the last one wins.
    ///
    /// # Errors
    ///
    /// If the job is not valid or the store fails; nothing was changed then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job is changed as a whole or not at all.
    pub async fn upsert(&self, job: Job) -> Result<Upserted, SchedulerError> {
        job.validate().map_err(|source| SchedulerError::Validate {
            key: job.key.clone(),
            source,
        })?;
        let now = self.now("upsert", &job.key).await?;
        let upsert = self.shared.store.upsert(self.namespace(), &job, now);
        let upserted = in_time(upsert).await;
        let upserted = upserted.map_err(failed("upsert", &job.key))?;
        self.shared.live.supersede(&job.key, upserted.generation);
        if let Some(due) = upserted.next_fire {
            self.shared.alarm.ring_for(due);
        }
        Ok(upserted)
    }

    /// Removes a job; `false` if there was none. Runs at work go on.
    ///
    /// When this has returned, no fire of it starts here.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job is removed or not, and if it is, a run of it that has
    /// been claimed may start; call it again.
    pub async fn remove(&self, key: &JobKey) -> Result<bool, SchedulerError> {
        // Whoever finds nothing to remove must not return before whoever has removed it has
        // superseded its runs.
        let turn = async {
            let turn = self.shared.removals.lock(key.clone()).await;
            turn.map_err(|full| StoreError::transient("take removals in turn", full))
        };
        let _turn = in_time(turn).await.map_err(failed("remove", key))?;
        let remove = self.shared.store.remove(self.namespace(), key);
        let removed = in_time(remove).await.map_err(failed("remove", key))?;
        match removed {
            Some(generation) => self.shared.live.supersede(key, generation + 1),
            // Whoever has removed it may have been dropped, or not been told, before it got here.
            None => self.shared.live.give_back(key),
        }
        Ok(removed.is_some())
    }

    /// Removes a job and waits up to `within` until no run of it is at work here; `false` if
    /// there was none.
    ///
    /// # Errors
    ///
    /// If the store fails, or a run is still at work when the time is up; the job is removed
    /// then.
    ///
    /// # Cancel safety
    ///
    /// As [`remove`](Self::remove).
    pub async fn remove_and_wait(
        &self,
        key: &JobKey,
        within: Duration,
    ) -> Result<bool, SchedulerError> {
        let removed = self.remove(key).await?;
        let all_ended = async {
            for live in self.shared.live.of(key) {
                live.ended.cancelled().await;
            }
        };
        let ended = tokio::time::timeout(within, all_ended).await;
        ended.map_err(|_| SchedulerError::StillRunning {
            key: key.clone(),
            within,
        })?;
        Ok(removed)
    }

    /// Runs a job now, through the same claims, policies and locks as its schedule, even if it
    /// is paused. The schedule itself does not change.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run was asked for or not.
    pub async fn run_now(&self, key: &JobKey) -> Result<RunNow, SchedulerError> {
        let now = self.now("run", key).await?;
        let request = self.shared.store.request_run(self.namespace(), key, now);
        let answer = in_time(request).await.map_err(failed("run", key))?;
        if let RunNow::Accepted { .. } = answer {
            self.shared.alarm.ring_for(now);
        }
        Ok(answer)
    }

    /// Pauses a job; `false` if there is none. Runs at work go on.
    ///
    /// When this has returned, no fire of its schedule starts here.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job is paused or not.
    pub async fn pause(&self, key: &JobKey) -> Result<bool, SchedulerError> {
        self.set_paused("pause", key, true).await
    }

    /// Resumes a paused job from now on: what it missed stays missed. `false` if there is none.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the job is resumed or not.
    pub async fn resume(&self, key: &JobKey) -> Result<bool, SchedulerError> {
        self.set_paused("resume", key, false).await
    }

    /// What is known of a job, from the store itself; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the store fails.
    ///
    /// # Cancel safety
    ///
    /// Safe: it changes nothing.
    pub async fn status(&self, key: &JobKey) -> Result<Option<JobStatus>, SchedulerError> {
        let operation = "read the status of";
        let now = self.now(operation, key).await?;
        let status = self.shared.store.status(self.namespace(), key, now);
        in_time(status).await.map_err(failed(operation, key))
    }

    async fn set_paused(
        &self,
        operation: &'static str,
        key: &JobKey,
        paused: bool,
    ) -> Result<bool, SchedulerError> {
        let now = self.now(operation, key).await?;
        let set = self
            .shared
            .store
            .set_paused(self.namespace(), key, paused, now);
        let Some(upserted) = in_time(set).await.map_err(failed(operation, key))? else {
            return Ok(false);
        };
        self.shared.live.supersede(key, upserted.generation);
        if let Some(due) = upserted.next_fire {
            self.shared.alarm.ring_for(due);
        }
        Ok(true)
    }

    /// The time that counts for the store.
    async fn now(
        &self,
        operation: &'static str,
        key: &JobKey,
    ) -> Result<Timestamp, SchedulerError> {
        let read = self.shared.read_store_time().await;
        read.map_err(failed(operation, key))?;
        Ok(self.shared.now())
    }

    fn namespace(&self) -> &str {
        &self.shared.settings.namespace
    }

    fn driver(&self) -> MutexGuard<'_, Option<RunningDriver>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn_driver(&self) -> RunningDriver {
        let (stop, stopped) = watch::channel(None);
        let (sender, report) = watch::channel(None);
        let unique = Uuid::new_v4();
        let owner = self.shared.settings.owner.clone();
        let owner = owner.unwrap_or_else(|| unique.to_string());
        let seed = unique.as_u64_pair().0;
        let driver = Driver::new(self.shared.clone(), owner, seed, stopped);
        let mut task = JoinSet::new();
        task.spawn(async move {
            sender.send_replace(Some(driver.run().await));
        });
        RunningDriver {
            stop,
            report,
            _task: task,
        }
    }
}

impl RunningDriver {
    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    fn has_ended(&self) -> bool {
        self.report.has_changed().is_err()
    }
}

/// Waits until a driver has ended.
async fn ended(mut report: watch::Receiver<Option<ShutdownReport>>) -> ShutdownReport {
    while report.changed().await.is_ok() {}
    report.borrow().unwrap_or_default()
}

fn failed(operation: &'static str, key: &JobKey) -> impl FnOnce(StoreError) -> SchedulerError {
    move |source| SchedulerError::Store {
        operation,
        key: key.clone(),
        source,
    }
}
