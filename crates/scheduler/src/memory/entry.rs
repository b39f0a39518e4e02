use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};

use crate::{Job, JobKey, JobState, LastRun, Policy, Spec, Upserted};

/// A job and where it stands, packed: there may be millions. Instants are kept in milliseconds, as
/// in the databases.
#[derive(Debug)]
pub(super) struct Entry {
    key: JobKey,
    spec: Spec,
    tz: TimeZone,
    policy: Arc<Policy>,
    pub(super) generation: u64,
    next_fire: Option<Millis>,
    /// Most jobs that wait for their first fire have none.
    past: Option<Box<Past>>,
    running: u32,
    /// Of what the heap holds of it.
    pub(super) ticket: Option<u32>,
    paused: bool,
}

/// What a job has only once it has fired or was asked to.
#[derive(Debug, Default)]
struct Past {
    last_scheduled: Option<Millis>,
    manual_for: Option<Millis>,
    manual_wanted: bool,
    busy_from: Option<Millis>,
    busy_until: Option<Millis>,
    skipped: u64,
    last: Option<LastRun>,
}

impl Entry {
    /// A job that is due nowhere yet.
    pub(super) fn new(job: &Job, policy: Arc<Policy>, state: JobState) -> Self {
        let mut entry = Self {
            key: job.key.clone(),
            spec: job.spec.clone(),
            tz: job.tz.clone(),
            policy,
            generation: 0,
            next_fire: None,
            past: None,
            running: 0,
            ticket: None,
            paused: false,
        };
        entry.keep(state);
        entry
    }

    pub(super) fn replace(&mut self, job: &Job, policy: Arc<Policy>) {
        self.spec = job.spec.clone();
        self.tz = job.tz.clone();
        self.policy = policy;
    }

    pub(super) fn key(&self) -> &JobKey {
        &self.key
    }

    pub(super) fn job(&self) -> Job {
        Job {
            key: self.key.clone(),
            spec: self.spec.clone(),
            tz: self.tz.clone(),
            policy: Policy::clone(&self.policy),
        }
    }

    pub(super) fn state(&self) -> JobState {
        let mut state = JobState {
            next_fire: instant(self.next_fire),
            paused: self.paused,
            running: self.running,
            ..JobState::default()
        };
        if let Some(past) = &self.past {
            state.last_scheduled = instant(past.last_scheduled);
            state.manual_for = instant(past.manual_for);
            state.manual_wanted = past.manual_wanted;
            state.busy_from = instant(past.busy_from);
            state.busy_until = instant(past.busy_until);
            state.skipped = past.skipped;
        }
        state
    }

    pub(super) fn keep(&mut self, state: JobState) {
        self.next_fire = millis(state.next_fire);
        self.paused = state.paused;
        self.running = state.running;
        let has_past = state.last_scheduled.is_some()
            || state.manual_for.is_some()
            || state.busy_from.is_some()
            || state.skipped > 0;
        if has_past || self.past.is_some() {
            let past = self.past.get_or_insert_default();
            past.last_scheduled = millis(state.last_scheduled);
            past.manual_for = millis(state.manual_for);
            past.manual_wanted = state.manual_wanted;
            past.busy_from = millis(state.busy_from);
            past.busy_until = millis(state.busy_until);
            past.skipped = state.skipped;
        }
    }

    pub(super) fn last(&self) -> Option<&LastRun> {
        self.past.as_ref()?.last.as_ref()
    }

    pub(super) fn set_last(&mut self, last: LastRun) {
        self.past.get_or_insert_default().last = Some(last);
    }

    pub(super) fn upserted(&self, changed: bool) -> Upserted {
        Upserted {
            generation: self.generation,
            next_fire: instant(self.next_fire),
            changed,
        }
    }
}

/// Milliseconds since the epoch with the sign flipped, so that 0 stands for an instant that does not
/// exist, and the absence of one takes no room.
type Millis = std::num::NonZeroI64;

fn millis(instant: Option<Timestamp>) -> Option<Millis> {
    Millis::new(instant?.as_millisecond() ^ i64::MIN)
}

fn instant(millis: Option<Millis>) -> Option<Timestamp> {
    Timestamp::from_millisecond(millis?.get() ^ i64::MIN).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    #[test]
    fn state_comes_back_as_it_was_kept() {
        let at = |millis| Timestamp::from_millisecond(millis).ok();
        let spec = Spec::parse("@hourly", Dialect::Posix5).unwrap();
        let job = Job::new("job", spec, TimeZone::UTC);
        let fresh = JobState {
            next_fire: at(3_600_000),
            ..JobState::default()
        };
        let full = JobState {
            next_fire: at(0),
            last_scheduled: at(-1),
            manual_for: at(i64::from(i32::MIN)),
            manual_wanted: true,
            busy_from: at(1),
            busy_until: at(2),
            paused: true,
            running: 3,
            skipped: u64::MAX,
        };
        let mut entry = Entry::new(&job, Arc::new(job.policy.clone()), fresh.clone());
        assert_eq!(entry.job(), job);
        for state in [fresh.clone(), full, fresh] {
            entry.keep(state.clone());
            assert_eq!(entry.state(), state);
        }
    }

    #[test]
    fn entry_is_small() {
        assert!(size_of::<Option<Entry>>() <= 88);
    }
}
