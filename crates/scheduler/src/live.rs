use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::{Execution, JobKey, Run, RunId};

const PENDING: u8 = 0;
const STARTED: u8 = 1;
const REVOKED: u8 = 2;
const RELEASED: u8 = 3;

/// A run claimed by this process that has not ended.
#[derive(Debug)]
pub(crate) struct LiveRun {
    /// As it was claimed first; see [`id`](Self::id) for its present fence.
    pub(crate) run: Run,
    fence: AtomicU64,
    pub(crate) cancel: CancellationToken,
    /// Cancelled when the run's task has ended, however it did.
    pub(crate) ended: CancellationToken,
    pub(crate) abort: OnceLock<AbortHandle>,
    stage: AtomicU8,
}

impl LiveRun {
    fn new(run: Run) -> Self {
        Self {
            fence: AtomicU64::new(run.id.fence),
            run,
            cancel: CancellationToken::new(),
            ended: CancellationToken::new(),
            abort: OnceLock::new(),
            stage: AtomicU8::new(PENDING),
        }
    }

    /// The run with the fence of its latest claim.
    pub(crate) fn id(&self) -> RunId {
        RunId {
            fence: self.fence.load(Ordering::Acquire),
            ..self.run.id.clone()
        }
    }

    /// Passes the point from which on the handler is called; `false` if it must not be.
    pub(crate) fn start(&self) -> bool {
        self.leave_pending(STARTED)
    }

    /// Keeps the handler from being called, if it has not been: the job was changed.
    pub(crate) fn revoke(&self) {
        if self.leave_pending(REVOKED) {
            self.cancel.cancel();
        }
    }

    /// Asks the run to end; if the handler has not been called, it will not be.
    pub(crate) fn stop(&self) {
        self.leave_pending(RELEASED);
        self.cancel.cancel();
    }

    /// Whether it may run again after having been cut short.
    pub(crate) fn may_run_again(&self) -> bool {
        self.run.policy.execution == Execution::AtLeastOnce
            || self.stage.load(Ordering::Acquire) != STARTED
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.stage.load(Ordering::Acquire) == REVOKED
    }

    pub(crate) fn abort(&self) {
        if let Some(task) = self.abort.get() {
            task.abort();
        }
    }

    /// Gives the run back if the handler has not been called; one that is at work goes on.
    fn give_back(&self) {
        if self.leave_pending(RELEASED) {
            self.cancel.cancel();
        }
    }

    fn leave_pending(&self, to: u8) -> bool {
        self.stage
            .compare_exchange(PENDING, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// The runs of this process by key, and what makes sure that after a change of a job no run of
/// an older generation starts here.
///
/// A change revokes the runs that have not started. It may come while a claim is on its way back
/// from the store, though, with runs that nobody here knows yet: changes during a claim are
/// remembered until [`admit`](Self::admit), which revokes what they have overtaken.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    runs: HashMap<JobKey, Vec<Arc<LiveRun>>>,
    claiming: bool,
    /// Generations older than these are superseded. Emptied with every claim.
    superseded: HashMap<JobKey, u64>,
    /// Whose runs are given back. Emptied with every claim.
    given_back: HashSet<JobKey>,
}

impl Live {
    /// Call before the store is asked for claims.
    pub(crate) fn claim_begins(&self) {
        self.lock().claiming = true;
    }

    /// Call with what the store gave; returns the runs to start, in the same order.
    ///
    /// A run that is at work here already had let its lease end, and was claimed again by its own
    /// process: it goes on under the new claim.
    pub(crate) fn admit(&self, runs: Vec<Run>) -> Vec<Arc<LiveRun>> {
        let mut state = self.lock();
        state.claiming = false;
        let superseded = std::mem::take(&mut state.superseded);
        let given_back = std::mem::take(&mut state.given_back);
        runs.into_iter()
            .filter(|run| {
                !state
                    .runs
                    .get(&run.id.key)
                    .is_some_and(|runs| adopt(runs, run))
            })
            .collect::<Vec<_>>()
            .into_iter()
            .map(|run| {
                let overtaken = superseded
                    .get(&run.id.key)
                    .is_some_and(|oldest| run.generation < *oldest);
                let live = Arc::new(LiveRun::new(run));
                if overtaken {
                    live.revoke();
                } else if given_back.contains(&live.run.id.key) {
                    live.give_back();
                }
                let key = live.run.id.key.clone();
                state.runs.entry(key).or_default().push(live.clone());
                live
            })
            .collect()
    }

    /// No run of a generation older than `oldest` starts after this has returned.
    pub(crate) fn supersede(&self, key: &JobKey, oldest: u64) {
        let mut state = self.lock();
        if state.claiming {
            let known = state.superseded.entry(key.clone()).or_default();
            *known = oldest.max(*known);
        }
        let runs = state.runs.get(key).into_iter().flatten();
        for live in runs.filter(|live| live.run.generation < oldest) {
            live.revoke();
        }
    }

    /// No run of `key` that was claimed before starts after this has returned: those that have not
    /// started go back to the store, which knows whether their job is there.
    pub(crate) fn give_back(&self, key: &JobKey) {
        let mut state = self.lock();
        if state.claiming {
            state.given_back.insert(key.clone());
        }
        for live in state.runs.get(key).into_iter().flatten() {
            live.give_back();
        }
    }

    /// The runs of `key`.
    pub(crate) fn of(&self, key: &JobKey) -> Vec<Arc<LiveRun>> {
        self.lock().runs.get(key).cloned().unwrap_or_default()
    }

    /// Forgets a run that has ended.
    pub(crate) fn remove(&self, ended: &Arc<LiveRun>) {
        let mut state = self.lock();
        if let Some(runs) = state.runs.get_mut(&ended.run.id.key) {
            runs.retain(|live| !Arc::ptr_eq(live, ended));
            if runs.is_empty() {
                state.runs.remove(&ended.run.id.key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn adopt(runs: &[Arc<LiveRun>], claimed: &Run) -> bool {
    let same = |live: &&Arc<LiveRun>| live.run.id.scheduled_for == claimed.id.scheduled_for;
    runs.iter()
        .find(same)
        .inspect(|live| live.fence.store(claimed.id.fence, Ordering::Release))
        .is_some()
}
