use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map},
};

use jiff::Timestamp;

use crate::{
    Cause, ClaimRequest, Claimed, Ending, FinishedRun, Job, JobKey, JobState, JobStatus, LastRun,
    Outcome, Overlap, Run, RunId, RunNow, Upserted,
};

/// A heap is rebuilt when outdated entries outnumber the others, but not below this size.
const SMALL_HEAP: usize = 64;

/// Instants with the ticket or fence and the key of what they are for, the earliest first.
type Heap = BinaryHeap<Reverse<(Timestamp, u64, JobKey)>>;

#[derive(Debug, Default)]
pub(super) struct Namespace {
    /// Boxed, so that a growing map moves little.
    jobs: HashMap<JobKey, Box<Entry>>,
    /// Runs that have not ended, also those of jobs that were removed.
    runs: HashMap<JobKey, Vec<ActiveRun>>,
    active: usize,
    /// When jobs are due; an entry is outdated if its job does not bear its ticket.
    due: Heap,
    /// When leases end, at the earliest; an entry is outdated if no run has its fence.
    leases: Heap,
    /// Counts generations, fences and tickets.
    counter: u64,
}

#[derive(Debug)]
struct Entry {
    job: Job,
    generation: u64,
    state: JobState,
    last: Option<Box<LastRun>>,
    /// Of its entry in the heap; 0 if there is none.
    ticket: u64,
}

#[derive(Debug)]
struct ActiveRun {
    scheduled_for: Timestamp,
    generation: u64,
    cause: Cause,
    fence: u64,
    owner: String,
    lease_until: Timestamp,
    released: bool,
    attempts: u32,
}

impl Namespace {
    pub(super) fn upsert(&mut self, job: &Job, now: Timestamp) -> Upserted {
        let entry = match self.jobs.entry(job.key.clone()) {
            hash_map::Entry::Occupied(entry) => {
                let entry = entry.into_mut();
                if entry.job == *job {
                    return entry.upserted(false);
                }
                if !entry.job.has_same_instants(job) {
                    entry.state.reschedule(job, now);
                }
                entry.job = job.clone();
                entry
            }
            hash_map::Entry::Vacant(vacant) => {
                let running = self.runs.get(&job.key).map_or(0, Vec::len);
                let mut state = JobState {
                    running: running as u32,
                    ..JobState::default()
                };
                state.reschedule(job, now);
                vacant.insert(Box::new(Entry::new(job.clone(), state)))
            }
        };
        self.counter += 1;
        entry.generation = self.counter;
        let upserted = entry.upserted(true);
        entry.schedule(&mut self.due, &mut self.counter);
        self.compact();
        upserted
    }

    pub(super) fn remove(&mut self, key: &JobKey) -> Option<u64> {
        let entry = self.jobs.remove(key)?;
        self.compact();
        Some(entry.generation)
    }

    pub(super) fn set_paused(
        &mut self,
        key: &JobKey,
        paused: bool,
        now: Timestamp,
    ) -> Option<Upserted> {
        let entry = self.jobs.get_mut(key)?;
        if entry.state.paused == paused {
            return Some(entry.upserted(false));
        }
        entry.state.paused = paused;
        entry.state.reschedule(&entry.job, now);
        self.counter += 1;
        entry.generation = self.counter;
        let upserted = entry.upserted(true);
        entry.schedule(&mut self.due, &mut self.counter);
        self.compact();
        Some(upserted)
    }

    pub(super) fn request_run(&mut self, key: &JobKey, now: Timestamp) -> RunNow {
        let Some(entry) = self.jobs.get_mut(key) else {
            return RunNow::Unknown;
        };
        let answer = entry.state.request_run(&entry.job, now);
        self.schedule(key);
        answer
    }

    pub(super) fn claim_due(&mut self, request: &ClaimRequest) -> Claimed {
        let mut runs = Vec::new();
        self.claim_again(request, &mut runs);
        while runs.len() < request.limit
            && let Some(Reverse((due, ticket, key))) = self.due.peek()
            && *due <= request.now
        {
            let (ticket, key) = (*ticket, key.clone());
            self.due.pop();
            if self
                .jobs
                .get(&key)
                .is_some_and(|entry| entry.ticket == ticket)
            {
                self.claim_job(&key, request, &mut runs);
            }
        }
        Claimed {
            runs,
            next_due: self.next_due(),
        }
    }

    fn claim_job(&mut self, key: &JobKey, request: &ClaimRequest, claimed: &mut Vec<Run>) {
        let Some(entry) = self.jobs.get_mut(key) else {
            return;
        };
        let limit = request.limit - claimed.len();
        let starts = entry
            .state
            .claim(&entry.job, request.now, request.grace, limit);
        let runs = self.runs.entry(key.clone()).or_default();
        if !starts.is_empty() && entry.job.policy.overlap == Overlap::Replace {
            self.active -= runs.len();
            runs.clear();
        }
        for start in starts {
            // The same occurrence of a job that was removed and came back under an earlier clock.
            if runs
                .iter()
                .any(|run| run.scheduled_for == start.scheduled_for)
            {
                entry.state.end(&entry.job, request.now);
                continue;
            }
            self.counter += 1;
            runs.push(ActiveRun {
                scheduled_for: start.scheduled_for,
                generation: entry.generation,
                cause: start.cause,
                fence: self.counter,
                owner: request.owner.clone(),
                lease_until: request.lease_until,
                released: false,
                attempts: 1,
            });
            self.active += 1;
            self.leases
                .push(Reverse((request.lease_until, self.counter, key.clone())));
            claimed.extend(runs.last().map(|run| run.claimed(&entry.job)));
        }
        if runs.is_empty() {
            self.runs.remove(key);
        }
        self.schedule(key);
    }

    /// Claims runs whose lease has ended, or ends them where that is not allowed.
    fn claim_again(&mut self, request: &ClaimRequest, claimed: &mut Vec<Run>) {
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
            let entry = self.jobs.get(&key);
            let entry = entry.filter(|entry| entry.generation == run.generation);
            match entry.filter(|entry| entry.job.claims_again(run.released, run.attempts)) {
                Some(entry) => {
                    self.counter += 1;
                    run.attempts += u32::from(!run.released);
                    run.released = false;
                    run.fence = self.counter;
                    run.owner = request.owner.clone();
                    run.lease_until = request.lease_until;
                    claimed.push(run.claimed(&entry.job));
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
        while let Some(Reverse((_, ticket, key))) = self.due.peek()
            && self
                .jobs
                .get(key)
                .is_none_or(|entry| entry.ticket != *ticket)
        {
            self.due.pop();
        }
        while let Some(Reverse((_, fence, key))) = self.leases.peek()
            && !self
                .runs
                .get(key)
                .is_some_and(|runs| runs.iter().any(|run| run.fence == *fence))
        {
            self.leases.pop();
        }
        let due = self.due.peek().map(|Reverse((due, ..))| *due);
        let lease = self.leases.peek().map(|Reverse((lease, ..))| *lease);
        [due, lease].into_iter().flatten().min()
    }

    pub(super) fn status(&self, key: &JobKey, now: Timestamp) -> Option<JobStatus> {
        let entry = self.jobs.get(key)?;
        Some(JobStatus {
            next_fire: entry.state.visible_next_fire(&entry.job, now),
            running: entry.state.running,
            last: entry.last.as_deref().cloned(),
            skipped: entry.state.skipped,
            paused: entry.state.paused,
            generation: entry.generation,
        })
    }

    fn active(&mut self, owner: &str, id: &RunId) -> Option<&mut ActiveRun> {
        let runs = self.runs.get_mut(&id.key)?;
        runs.iter_mut().find(|run| {
            run.fence == id.fence && run.scheduled_for == id.scheduled_for && run.owner == owner
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
        let entry = self.jobs.get_mut(key)?;
        entry.state.end(&entry.job, now);
        if outcome != Outcome::Superseded {
            entry.last = Some(Box::new(LastRun {
                scheduled_for,
                finished_at: now,
                outcome,
            }));
        }
        self.schedule(key)
    }

    /// Puts a job where its state says that it is due; returns that.
    fn schedule(&mut self, key: &JobKey) -> Option<Timestamp> {
        let entry = self.jobs.get_mut(key)?;
        let due = entry.schedule(&mut self.due, &mut self.counter);
        self.compact();
        due
    }

    fn compact(&mut self) {
        if self.due.len() > 2 * self.jobs.len() + SMALL_HEAP {
            let entries = self.jobs.values().filter_map(|entry| entry.in_heap());
            self.due = entries.collect();
        }
        if self.leases.len() > 2 * self.active + SMALL_HEAP {
            let runs = &self.runs;
            self.leases.retain(|Reverse((_, fence, key))| {
                let runs = runs.get(key).into_iter().flatten();
                runs.into_iter().any(|run| run.fence == *fence)
            });
        }
    }
}

impl Entry {
    fn new(job: Job, state: JobState) -> Self {
        Self {
            job,
            generation: 0,
            state,
            last: None,
            ticket: 0,
        }
    }

    /// What the heap must hold of it.
    fn in_heap(&self) -> Option<Reverse<(Timestamp, u64, JobKey)>> {
        let due = self.state.due_at(&self.job)?;
        Some(Reverse((due, self.ticket, self.job.key.clone())))
    }

    /// Puts itself where its state says that it is due; returns that.
    fn schedule(&mut self, heap: &mut Heap, counter: &mut u64) -> Option<Timestamp> {
        let due = self.state.due_at(&self.job);
        self.ticket = 0;
        if let Some(due) = due {
            *counter += 1;
            self.ticket = *counter;
            heap.push(Reverse((due, self.ticket, self.job.key.clone())));
        }
        due
    }

    fn upserted(&self, changed: bool) -> Upserted {
        Upserted {
            generation: self.generation,
            next_fire: self.state.next_fire,
            changed,
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
