use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    entry::Entry,
    jobs::{Jobs, Slot},
};
use crate::{
    Cause, ClaimRequest, Claimed, Ending, FinishedRun, Job, JobKey, JobState, JobStatus, LastRun,
    Outcome, Overlap, Run, RunId, RunNow, Upserted,
};

/// The heap of leases is rebuilt when outdated entries outnumber the others, but not below this
/// size.
const SMALL_HEAP: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Namespace {
    jobs: Jobs,
    /// Runs that have not ended, also those of jobs that were removed.
    runs: HashMap<JobKey, Vec<ActiveRun>>,
    active: usize,
    /// When leases end, at the earliest, by fence; outdated if no run of the key has it.
    leases: BinaryHeap<Reverse<(Timestamp, u64, JobKey)>>,
    /// Counts generations and fences.
    counter: u64,
}

#[derive(Debug)]
struct ActiveRun {
    scheduled_for: Timestamp,
    generation: u64,
    cause: Cause,
    fence: u64,
    owner: Arc<str>,
    lease_until: Timestamp,
    released: bool,
    attempts: u32,
}

impl Namespace {
    pub(super) fn upsert(&mut self, job: &Job, now: Timestamp) -> Upserted {
        let slot = match self.jobs.find(&job.key) {
            Some(slot) => {
                if let Some(unchanged) = self.replace(slot, job, now) {
                    return unchanged;
                }
                slot
            }
            None => {
                let running = self.runs.get(&job.key).map_or(0, Vec::len);
                let mut state = JobState {
                    running: running as u32,
                    ..JobState::default()
                };
                state.reschedule(job, now);
                self.jobs.insert(job, state)
            }
        };
        self.begin_generation(slot)
    }

    /// Gives the job in a slot what another has, unless they are equal already.
    fn replace(&mut self, slot: Slot, job: &Job, now: Timestamp) -> Option<Upserted> {
        let entry = self.jobs.get(slot)?;
        let (old, mut state) = (entry.job(), entry.state());
        if old == *job {
            return Some(entry.upserted(false));
        }
        if !old.has_same_instants(job) {
            state.reschedule(job, now);
        }
        self.jobs.replace(slot, job, state);
        None
    }

    pub(super) fn remove(&mut self, key: &JobKey) -> Option<u64> {
        Some(self.jobs.remove(key)?.generation)
    }

    pub(super) fn set_paused(
        &mut self,
        key: &JobKey,
        paused: bool,
        now: Timestamp,
    ) -> Option<Upserted> {
        let slot = self.jobs.find(key)?;
        let entry = self.jobs.get_mut(slot)?;
        let mut state = entry.state();
        if state.paused == paused {
            return Some(entry.upserted(false));
        }
        state.paused = paused;
        state.reschedule(&entry.job(), now);
        entry.keep(state);
        Some(self.begin_generation(slot))
    }

    fn begin_generation(&mut self, slot: Slot) -> Upserted {
        self.counter += 1;
        let generation = self.counter;
        if let Some(entry) = self.jobs.get_mut(slot) {
            entry.generation = generation;
        }
        self.jobs.schedule(slot);
        let entry = self.jobs.get(slot);
        entry.map_or(
            Upserted {
                generation,
                next_fire: None,
                changed: true,
            },
            |entry| entry.upserted(true),
        )
    }

    pub(super) fn request_run(&mut self, key: &JobKey, now: Timestamp) -> RunNow {
        let slot = self.jobs.find(key);
        let entry = slot.and_then(|slot| Some((slot, self.jobs.get_mut(slot)?)));
        let Some((slot, entry)) = entry else {
            return RunNow::Unknown;
        };
        let mut state = entry.state();
        let answer = state.request_run(&entry.job(), now);
        entry.keep(state);
        self.jobs.schedule(slot);
        answer
    }

    pub(super) fn claim_due(&mut self, request: &ClaimRequest) -> Claimed {
        let owner: Arc<str> = request.owner.as_str().into();
        let mut runs = Vec::new();
        self.claim_again(request, &owner, &mut runs);
        while runs.len() < request.limit
            && let Some(slot) = self.jobs.pop_due(request.now)
        {
            self.claim_job(slot, request, &owner, &mut runs);
        }
        Claimed {
            runs,
            next_due: self.next_due(),
        }
    }

    fn claim_job(
        &mut self,
        slot: Slot,
        request: &ClaimRequest,
        owner: &Arc<str>,
        claimed: &mut Vec<Run>,
    ) {
        let Some(entry) = self.jobs.get_mut(slot) else {
            return;
        };
        let (job, mut state) = (entry.job(), entry.state());
        let limit = request.limit - claimed.len();
        let starts = state.claim(&job, request.now, request.grace, limit);
        if !starts.is_empty() {
            let runs = self.runs.entry(job.key.clone()).or_default();
            if job.policy.overlap == Overlap::Replace {
                self.active -= runs.len();
                runs.clear();
            }
            for start in starts {
                // The same occurrence of a job that was removed and came back under an earlier
                // clock.
                let is_same = |run: &ActiveRun| run.scheduled_for == start.scheduled_for;
                if runs.iter().any(is_same) {
                    state.end(&job, request.now);
                    continue;
                }
                self.counter += 1;
                let run = ActiveRun {
                    scheduled_for: start.scheduled_for,
                    generation: entry.generation,
                    cause: start.cause,
                    fence: self.counter,
                    owner: owner.clone(),
                    lease_until: request.lease_until,
                    released: false,
                    attempts: 1,
                };
                claimed.push(run.claimed(&job));
                runs.push(run);
                self.active += 1;
                self.leases.push(Reverse((
                    request.lease_until,
                    self.counter,
                    job.key.clone(),
                )));
            }
        }
        entry.keep(state);
        self.jobs.schedule(slot);
    }

    /// Claims runs whose lease has ended, or ends them where that is not allowed.
    fn claim_again(&mut self, request: &ClaimRequest, owner: &Arc<str>, claimed: &mut Vec<Run>) {
        while claimed.len() < request.limit
            && let Some(Reverse((lease_until, fence, key))) = self.leases.peek()
            && *lease_until <= request.now
        {
            let (fence, key) = (*fence, key.clone());
            self.leases.pop();
            let run = self.runs.get_mut(&key).into_iter().flatten();
            let Some(run) = run.into_iter().find(|run| run.fence == fence) else {
                continue;
            };
            if run.lease_until > request.now {
                self.leases.push(Reverse((run.lease_until, fence, key)));
                continue;
            }
            let entry = self.jobs.find(&key).and_then(|slot| self.jobs.get(slot));
            let entry = entry.filter(|entry| entry.generation == run.generation);
            let job = entry.map(Entry::job);
            match job.filter(|job| job.claims_again(run.released, run.attempts)) {
                Some(job) => {
                    self.counter += 1;
                    run.attempts += u32::from(!run.released);
                    run.released = false;
                    run.fence = self.counter;
                    run.owner = owner.clone();
                    run.lease_until = request.lease_until;
                    claimed.push(run.claimed(&job));
                    self.leases.push(Reverse((run.lease_until, run.fence, key)));
                }
                None => {
                    let outcome = if run.released {
                        Outcome::Superseded
                    } else {
                        Outcome::Abandoned
                    };
                    let scheduled_for = run.scheduled_for;
                    self.end(&key, scheduled_for, outcome, request.now);
                }
            }
        }
    }

    pub(super) fn renew(
        &mut self,
        owner: &str,
        ids: &[RunId],
        lease_until: Timestamp,
    ) -> Vec<RunId> {
        let mut lost = Vec::new();
        for id in ids {
            match self.active(owner, id) {
                Some(run) => run.lease_until = lease_until,
                None => lost.push(id.clone()),
            }
        }
        lost
    }

    /// Returns when the run's job is due next.
    pub(super) fn finish(
        &mut self,
        owner: &str,
        run: &FinishedRun,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let active = self.active(owner, &run.id)?;
        match &run.ending {
            Ending::Released => {
                active.released = true;
                active.lease_until = now;
                self.leases
                    .push(Reverse((now, run.id.fence, run.id.key.clone())));
                Some(now)
            }
            Ending::Done(outcome) => {
                self.end(&run.id.key, run.id.scheduled_for, outcome.clone(), now)
            }
        }
    }

    pub(super) fn next_due(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((_, fence, key))) = self.leases.peek()
            && !self
                .runs
                .get(key)
                .is_some_and(|runs| runs.iter().any(|run| run.fence == *fence))
        {
            self.leases.pop();
        }
        let lease = self.leases.peek().map(|Reverse((lease, ..))| *lease);
        [self.jobs.next_due(), lease].into_iter().flatten().min()
    }

    pub(super) fn status(&self, key: &JobKey, now: Timestamp) -> Option<JobStatus> {
        let entry = self.jobs.get(self.jobs.find(key)?)?;
        let state = entry.state();
        Some(JobStatus {
            next_fire: state.visible_next_fire(&entry.job(), now),
            running: state.running,
            last: entry.last().cloned(),
            skipped: state.skipped,
            paused: state.paused,
            generation: entry.generation,
        })
    }

    fn active(&mut self, owner: &str, id: &RunId) -> Option<&mut ActiveRun> {
        let runs = self.runs.get_mut(&id.key)?;
        runs.iter_mut().find(|run| {
            run.fence == id.fence && run.scheduled_for == id.scheduled_for && *run.owner == *owner
        })
    }

    fn end(
        &mut self,
        key: &JobKey,
        scheduled_for: Timestamp,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if let Some(runs) = self.runs.get_mut(key) {
            let before = runs.len();
            runs.retain(|run| run.scheduled_for != scheduled_for);
            self.active -= before - runs.len();
            if runs.is_empty() {
                self.runs.remove(key);
            }
        }
        self.compact();
        let slot = self.jobs.find(key)?;
        let entry = self.jobs.get_mut(slot)?;
        let mut state = entry.state();
        state.end(&entry.job(), now);
        entry.keep(state);
        if outcome != Outcome::Superseded {
            entry.set_last(LastRun {
                scheduled_for,
                finished_at: now,
                outcome,
            });
        }
        self.jobs.schedule(slot)
    }

    fn compact(&mut self) {
        if self.leases.len() > 2 * self.active + SMALL_HEAP {
            let runs = &self.runs;
            self.leases.retain(|Reverse((_, fence, key))| {
                let runs = runs.get(key).into_iter().flatten();
                runs.into_iter().any(|run| run.fence == *fence)
            });
        }
    }
}

impl ActiveRun {
    fn claimed(&self, job: &Job) -> Run {
        Run {
            id: RunId {
                key: job.key.clone(),
                scheduled_for: self.scheduled_for,
                fence: self.fence,
            },
            generation: self.generation,
            cause: self.cause,
            policy: job.policy.clone(),
        }
    }
}
