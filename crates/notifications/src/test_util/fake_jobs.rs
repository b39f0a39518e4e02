use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{Jobs, PortError, Schedule, ScheduleId};

/// A scheduler that only remembers what it was told, and fails as often as it was asked to.
#[derive(Debug, Default)]
pub struct FakeJobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<ScheduleId, Schedule>,
    calls: usize,
    ran: Vec<ScheduleId>,
    failures: usize,
}

impl FakeJobs {
    /// A scheduler without jobs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `count` calls fail.
    pub fn fail_next(&self, count: usize) {
        self.with(|state| state.failures = count);
    }

    /// The schedule that the job was made from, if there is a job.
    #[must_use]
    pub fn job(&self, id: ScheduleId) -> Option<Schedule> {
        self.with(|state| state.jobs.get(&id).cloned())
    }

    /// How many calls there were, failed ones among them.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.with(|state| state.calls)
    }

    /// What was asked to run now, in order.
    #[must_use]
    pub fn ran(&self) -> Vec<ScheduleId> {
        self.with(|state| state.ran.clone())
    }

    fn call(&self, f: impl FnOnce(&mut State)) -> Result<(), PortError> {
        self.with(|state| {
            state.calls += 1;
            if state.failures > 0 {
                state.failures -= 1;
                return Err(PortError::transient("asked to fail"));
            }
            f(state);
            Ok(())
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Jobs for FakeJobs {
    async fn upsert(&self, schedule: &Schedule) -> Result<(), PortError> {
        self.call(|state| match schedule.enabled {
            true => drop(state.jobs.insert(schedule.id, schedule.clone())),
            false => drop(state.jobs.remove(&schedule.id)),
        })
    }

    async fn remove(&self, id: ScheduleId) -> Result<(), PortError> {
        self.call(|state| drop(state.jobs.remove(&id)))
    }

    async fn run_now(&self, id: ScheduleId) -> Result<(), PortError> {
        self.call(|state| state.ran.push(id))
    }
}
