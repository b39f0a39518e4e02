use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{Jobs, PortError, ScheduleError, ScheduleId, ScheduleStore, StoredSchedule, SyncMark};

/// How many rows out of sync are read at a time.
const BATCH: u32 = 100;

/// How often one job is brought in line with a row that keeps changing.
const MAX_ROUNDS: u32 = 16;

/// How long [`JobSync::run`] waits before it looks again of its own accord.
const POLL: Duration = Duration::from_secs(60);

/// How long [`JobSync::run`] waits after something failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Keeps the scheduler's jobs in line with the stored schedules.
///
/// A schedule's row and its job are two writes, and a process can die in between. The row is
/// written first and says that it is out of sync; it says so until the job has been seen to match
/// it. A removed schedule stays as a tombstone until its job is gone. What is out of sync is found
/// without looking at what is not.
///
/// Several processes may do this at once: whoever finds that the row has changed meanwhile marks
/// it out of sync and looks again.
#[derive(Clone)]
pub struct JobSync {
    store: Arc<dyn ScheduleStore>,
    jobs: Arc<dyn Jobs>,
    behind: Arc<Notify>,
}

/// What [`JobSync::reconcile`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// How many jobs match their rows now that did not before.
    pub synced: u64,
    /// How many still do not.
    pub failed: u64,
}

impl JobSync {
    pub(crate) fn new(store: Arc<dyn ScheduleStore>, jobs: Arc<dyn Jobs>) -> Self {
        Self {
            store,
            jobs,
            behind: Arc::default(),
        }
    }

    /// Brings every job that is out of sync in line; call it at start, before the scheduler runs.
    ///
    /// A job that cannot be brought in line is counted, logged and passed over.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has brought some of them in line; the rest is still out of sync.
    ///
    /// # Errors
    ///
    /// [`Store`](ScheduleError::Store) if the rows cannot be read.
    pub async fn reconcile(&self) -> Result<Reconciled, ScheduleError> {
        let mut done = Reconciled::default();
        let mut after = None;
        loop {
            let rows = self.store.out_of_sync(after, BATCH).await;
            let rows = rows.map_err(|source| ScheduleError::Store {
                operation: "find schedules out of sync",
                source,
            })?;
            for &id in &rows {
                match self.sync(id).await {
                    Ok(()) => done.synced += 1,
                    Err(error) => {
                        done.failed += 1;
                        warn!(%id, error = &error as &dyn std::error::Error, "a job is out of sync");
                    }
                }
            }
            after = rows.last().copied();
            if rows.len() < BATCH as usize {
                return Ok(done);
            }
        }
    }

    /// Reconciles now, whenever a change could not be followed at once, and every minute; until
    /// `stop` is cancelled.
    ///
    /// # Cancel safety
    ///
    /// As [`reconcile`](Self::reconcile); it may be called again.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match stop.run_until_cancelled(self.reconcile()).await {
                None => return,
                Some(Ok(Reconciled { failed: 0, synced })) => {
                    debug!(synced, "jobs are in sync");
                    POLL
                }
                Some(Ok(_)) => AFTER_FAILURE,
                Some(Err(error)) => {
                    warn!(error = &error as &dyn std::error::Error, "cannot reconcile");
                    AFTER_FAILURE
                }
            };
            if pause == AFTER_FAILURE {
                // What woke us may still be broken: do not spin on it.
                stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            } else {
                let woken = timeout(pause, self.behind.notified());
                let _ = stop.run_until_cancelled(woken).await;
            }
        }
    }

    /// Brings one job in line after its row was written; if that fails or is dropped,
    /// [`run`](Self::run) does it later.
    pub(crate) async fn follow(&self, id: ScheduleId) {
        let later = Later(Some(&self.behind));
        match self.sync(id).await {
            Ok(()) => later.disarm(),
            Err(error) => {
                warn!(%id, error = &error as &dyn std::error::Error, "a job follows later");
            }
        }
    }

    async fn sync(&self, id: ScheduleId) -> Result<(), PortError> {
        for _ in 0..MAX_ROUNDS {
            match self.store.load(id).await? {
                Some(StoredSchedule::Live(schedule)) => {
                    self.jobs.upsert(&schedule).await?;
                    if self.store.mark_synced(id, schedule.version).await? == SyncMark::Current {
                        return Ok(());
                    }
                }
                Some(StoredSchedule::Tombstone) => {
                    self.jobs.remove(id).await?;
                    return self.store.forget(id).await;
                }
                // Forgotten since: nothing may be left of it.
                None => return self.jobs.remove(id).await,
            }
        }
        let problem = format!("the row changed in each of {MAX_ROUNDS} rounds");
        Err(PortError::transient(problem))
    }
}

impl fmt::Debug for JobSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobSync").finish_non_exhaustive()
    }
}

/// Wakes [`JobSync::run`] when it is dropped, unless it was disarmed.
struct Later<'a>(Option<&'a Notify>);

impl Later<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Later<'_> {
    fn drop(&mut self) {
        if let Some(behind) = self.0 {
            behind.notify_one();
        }
    }
}
