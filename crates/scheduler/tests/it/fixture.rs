//! A scheduler under paused time, with a memory store and a recording handler.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, tz::TimeZone};
use steadfast_clock::ManualClock;
use steadfast_scheduler::{
    Behaviour, Dialect, Fire, Job, JobStatus, JobStore, MemoryJobStore, MockJobStore, Recorder,
    Scheduler, SchedulerBuilder, Spec,
};

pub(crate) struct Fixture {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) handler: Arc<Recorder>,
    pub(crate) scheduler: Scheduler,
}

impl Fixture {
    /// Started, at half past midnight.
    pub(crate) async fn started(behaviour: Behaviour) -> Self {
        let fixture = Self::with(Arc::new(MemoryJobStore::new()), behaviour, |builder| {
            builder
        });
        fixture.scheduler.start().await;
        fixture
    }

    pub(crate) fn with(
        store: Arc<dyn JobStore>,
        behaviour: Behaviour,
        set: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder,
    ) -> Self {
        let clock = Arc::new(ManualClock::ticking(wall(at("00:30:00"))));
        let handler = Arc::new(Recorder::new(behaviour));
        let builder = Scheduler::builder("tests", store, handler.clone()).clock(clock.clone());
        let scheduler = set(builder).build().unwrap();
        Self {
            clock,
            handler,
            scheduler,
        }
    }

    pub(crate) async fn upsert(&self, job: Job) -> u64 {
        self.scheduler.upsert(job).await.unwrap().generation
    }

    pub(crate) async fn status(&self, key: &str) -> JobStatus {
        self.scheduler.status(&key.into()).await.unwrap().unwrap()
    }

    /// Waits until the job has a last run, and returns its status.
    pub(crate) async fn status_after_a_run(&self, key: &str) -> JobStatus {
        loop {
            let status = self.status(key).await;
            if status.last.is_some() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn fired(&self) -> Vec<Timestamp> {
        scheduled_for(&self.handler.fires())
    }
}

/// A store that goes by the clocks of its callers and does not watch for changes; the rest is
/// to be expected by the test.
pub(crate) fn mock_store() -> MockJobStore {
    let mut store = MockJobStore::new();
    store.expect_time().returning(|| Ok(None));
    store.expect_watch().returning(|_, _| ());
    store
}

pub(crate) fn scheduled_for(fires: &[Fire]) -> Vec<Timestamp> {
    fires.iter().map(|fire| fire.scheduled_for).collect()
}

/// A time of 1 January 2030.
pub(crate) fn at(time: &str) -> Timestamp {
    format!("2030-01-01T{time}Z").parse().unwrap()
}

pub(crate) fn wall(instant: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(instant.as_millisecond() as u64)
}

pub(crate) fn job(key: &str, spec: &str) -> Job {
    let spec = Spec::parse(spec, Dialect::Posix5).unwrap();
    Job::new(key, spec, TimeZone::UTC)
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// How the last run of a job ended.
pub(crate) fn last_outcome(status: steadfast_scheduler::JobStatus) -> steadfast_scheduler::Outcome {
    status.last.unwrap().outcome
}
