use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use steadfast_clock::Instant;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
};

use crate::{
    ClaimRequest, Ending, FinishedRun, Outcome, Overlap, RunId, StoreError,
    backoff::Backoff,
    execution::{execute, panic_message},
    live::LiveRun,
    shared::{Shared, in_time},
};

/// How many occurrences are claimed, and how many ends stored, in one call to the store.
const BATCH: usize = 1_024;

/// The driver looks at the clock at least this often, to notice that it jumped.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How far wall and monotonic time may drift apart between two steps before it counts as a jump.
const JUMP_SECONDS: i64 = 2;

/// How often old runs are purged, and how many at a time.
const PURGE_EVERY: Duration = Duration::from_secs(60);
const PURGE_BATCH: u32 = 1_000;

/// How long shutdown goes on for after its deadline, to abort runs and to store their ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What became of the runs that were at work when a scheduler was shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Ended by themselves before the deadline.
    pub finished: usize,
    /// Dropped at the deadline. Those that run at least once are given back and run again.
    pub aborted: usize,
    /// Did not let themselves be dropped, or their end could not be stored. Their leases end by
    /// themselves.
    pub abandoned: usize,
}

/// The one task of a scheduler: claims, starts, renews and finishes runs.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    owner: String,
    /// Changes to the deadline when the driver is to stop.
    stop: watch::Receiver<Option<Instant>>,
    tasks: JoinSet<Ending>,
    live: HashMap<Id, Arc<LiveRun>>,
    /// Ended runs whose end is not stored yet. They keep their place among the concurrent runs.
    unreported: Vec<FinishedRun>,
    backoff: Backoff,
    /// While the store fails: when to try again.
    retry_at: Option<Instant>,
    /// When something is due; in the past if the store is to be asked at once.
    next_due: Timestamp,
    next_poll: Instant,
    next_renewal: Instant,
    next_purge: Instant,
    last_seen: Option<(Timestamp, Instant)>,
    /// Holds one task, which rings the alarm for what other processes change.
    watch: JoinSet<()>,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        owner: String,
        seed: u64,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let now = shared.clock.monotonic();
        Self {
            owner,
            stop,
            tasks: JoinSet::new(),
            live: HashMap::new(),
            unreported: Vec::new(),
            backoff: Backoff::new(seed),
            retry_at: None,
            next_due: Timestamp::MIN,
            next_poll: now,
            next_renewal: now + shared.settings.lease / 3,
            next_purge: now + PURGE_EVERY,
            last_seen: None,
            watch: JoinSet::new(),
            shared,
        }
    }

    pub(crate) async fn run(mut self) -> ShutdownReport {
        let shared = self.shared.clone();
        self.watch.spawn(async move {
            let alarm = shared.clone();
            let wake = Arc::new(move |due| alarm.alarm.ring_for(due));
            let namespace = &shared.settings.namespace;
            shared.store.watch(namespace, wake).await;
        });
        loop {
            self.attend_to_store().await;
            let pause = self.until(self.wake_at());
            self.shared.alarm.set(self.next_due);
            tokio::select! {
                biased;
                _ = self.stop.changed() => break,
                Some(ended) = self.tasks.join_next_with_id() => self.settle(ended),
                () = self.shared.alarm.rung() => self.next_due = Timestamp::MIN,
                () = tokio::time::sleep(pause) => {}
            }
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.settle(ended);
            }
        }
        self.drain().await
    }

    /// Keeps leases, stores what has ended and, unless it is to stop, claims what is due, as far
    /// as each is called for.
    async fn attend_to_store(&mut self) {
        let now = self.shared.clock.monotonic();
        if self.retry_at.is_some_and(|at| at > now) {
            return;
        }
        self.retry_at = None;
        let result = async {
            self.shared.read_store_time().await?;
            self.renew().await?;
            self.report().await?;
            if self.is_stopping() {
                return Ok(());
            }
            self.claim().await?;
            self.purge().await
        };
        match result.await {
            Ok(()) => self.backoff.succeed(),
            Err(error) => {
                let wait = self.backoff.fail();
                self.log(&error, wait);
                self.retry_at = Some(self.shared.clock.monotonic() + wait);
            }
        }
    }

    async fn report(&mut self) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        while !self.unreported.is_empty() {
            let batch = self.unreported.len().min(BATCH);
            let finish = shared.store.finish(
                &shared.settings.namespace,
                &self.owner,
                &self.unreported[..batch],
                shared.now(),
            );
            let due = in_time(finish).await?;
            self.unreported.drain(..batch);
            self.next_due = due.map_or(self.next_due, |due| due.min(self.next_due));
        }
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        if shared.clock.monotonic() < self.next_renewal {
            return Ok(());
        }
        let unreported = self.unreported.iter().map(|run| run.id.clone());
        let live = self.live.values().map(|live| live.id());
        let runs: Vec<RunId> = live.chain(unreported).collect();
        if !runs.is_empty() {
            let renew = shared.store.renew(
                &shared.settings.namespace,
                &self.owner,
                &runs,
                self.lease_until(),
            );
            for lost in in_time(renew).await? {
                tracing::warn!(key = %lost.key, scheduled_for = %lost.scheduled_for, "lost a lease");
                let of_key = shared.live.of(&lost.key);
                of_key
                    .iter()
                    .filter(|live| live.id() == lost)
                    .for_each(|live| live.stop());
            }
        }
        self.next_renewal = shared.clock.monotonic() + shared.settings.lease / 3;
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), StoreError> {
        if self.notice_jump() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let now = shared.now();
        let called_for = self.next_due <= now || self.next_poll <= shared.clock.monotonic();
        let limit = self.free().min(BATCH);
        if !called_for || limit == 0 {
            return Ok(());
        }
        let request = ClaimRequest {
            namespace: shared.settings.namespace.clone(),
            owner: self.owner.clone(),
            now,
            lease_until: self.lease_until(),
            grace: shared.settings.grace,
            limit,
        };
        shared.alarm.reset();
        shared.live.claim_begins();
        let claimed = in_time(shared.store.claim_due(&request)).await;
        let (runs, result) = match claimed {
            Ok(claimed) => (claimed.runs, Ok(claimed.next_due)),
            Err(error) => (Vec::new(), Err(error)),
        };
        for live in shared.live.admit(runs) {
            self.start(live);
        }
        self.next_due = result?.unwrap_or(Timestamp::MAX);
        self.next_poll = shared.clock.monotonic() + shared.poll();
        Ok(())
    }

    fn start(&mut self, live: Arc<LiveRun>) {
        let mut predecessors = Vec::new();
        if live.run.policy.overlap == Overlap::Replace {
            predecessors = self.shared.live.of(&live.run.id.key);
            predecessors.retain(|other| !Arc::ptr_eq(other, &live));
        }
        let run = execute(self.shared.clone(), live.clone(), predecessors);
        let task = self.tasks.spawn(run);
        // Cannot have been set before: every run is started once.
        let _ = live.abort.set(task.clone());
        self.live.insert(task.id(), live);
    }

    fn settle(&mut self, ended: Result<(Id, Ending), JoinError>) {
        let (task, ending) = match ended {
            Ok((task, ending)) => (task, Ok(ending)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(live) = self.live.remove(&task) else {
            return;
        };
        let ending = ending.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(payload) => Ending::Done(Outcome::Panicked {
                message: panic_message(&*payload),
            }),
            Err(_) if self.is_stopping() && live.may_run_again() => Ending::Released,
            Err(_) => Ending::Done(Outcome::Aborted),
        });
        self.shared.live.remove(&live);
        self.unreported.push(FinishedRun {
            id: live.id(),
            ending,
        });
    }

    /// Stops the runs, waits for them until the deadline, then drops them.
    async fn drain(mut self) -> ShutdownReport {
        self.watch.shutdown().await;
        let now = self.shared.clock.monotonic();
        let deadline = self.stop.borrow().unwrap_or(now);
        let mut report = ShutdownReport::default();
        self.live.values().for_each(|live| live.stop());
        while !self.tasks.is_empty() {
            // Those that have ended must not lose their leases to the wait for the others.
            let rest = self.until(deadline);
            let _ = tokio::time::timeout(rest, self.attend_to_store()).await;
            let (rest, pause) = (self.until(deadline), self.until(self.wake_at()));
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next_with_id() => {
                    self.settle(ended);
                    report.finished += 1;
                }
                () = tokio::time::sleep(rest) => break,
                () = tokio::time::sleep(pause) => {}
            }
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.settle(ended);
                report.finished += 1;
            }
        }
        self.tasks.abort_all();
        let last_word = self.shared.clock.monotonic() + LAST_WORDS;
        while let Ok(Some(ended)) =
            tokio::time::timeout(self.until(last_word), self.tasks.join_next_with_id()).await
        {
            self.settle(ended);
            report.aborted += 1;
        }
        while let Err(error) = self.report().await {
            let wait = self.backoff.fail();
            self.log(&error, wait);
            if wait > self.until(last_word) {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        report.abandoned = self.tasks.len() + self.unreported.len();
        report
    }

    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    fn free(&self) -> usize {
        let taken = self.tasks.len() + self.unreported.len();
        self.shared.settings.max_concurrency.saturating_sub(taken)
    }

    fn lease_until(&self) -> Timestamp {
        let lease = SignedDuration::try_from(self.shared.settings.lease);
        let now = self.shared.now();
        lease
            .ok()
            .and_then(|lease| now.checked_add(lease).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// How long it is until then, by a clock that tests may move past tokio's.
    fn until(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.shared.clock.monotonic())
    }

    /// When to look again if nothing happens before.
    fn wake_at(&self) -> Instant {
        if let Some(retry_at) = self.retry_at {
            return retry_at;
        }
        let now = self.shared.clock.monotonic();
        let mut wake_at = now + LONGEST_SLEEP;
        if !self.live.is_empty() {
            wake_at = wake_at.min(self.next_renewal);
        }
        if self.free() > 0 && !self.is_stopping() {
            let until_due = self.next_due.duration_since(self.shared.now());
            let until_due = Duration::try_from(until_due).unwrap_or(Duration::ZERO);
            wake_at = wake_at
                .min(self.next_poll)
                .min(self.next_purge)
                .min(now + until_due.min(LONGEST_SLEEP));
        }
        wake_at
    }

    /// Whether the clock has jumped; leases come before claims then, since one that seems to have
    /// ended may be that of a run at work here.
    fn notice_jump(&mut self) -> bool {
        let seen = (self.shared.now(), self.shared.clock.monotonic());
        let Some(last) = self.last_seen.replace(seen) else {
            return false;
        };
        let passed = seen.1.saturating_duration_since(last.1);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let jump = seen.0.duration_since(last.0).saturating_sub(passed);
        let jumped = jump.as_secs().abs() >= JUMP_SECONDS;
        if jumped {
            tracing::warn!(
                namespace = %self.shared.settings.namespace,
                seconds = jump.as_secs(),
                "the time of day jumped"
            );
            self.next_renewal = seen.1;
            self.next_poll = seen.1;
        }
        jumped
    }

    async fn purge(&mut self) -> Result<(), StoreError> {
        let now = self.shared.clock.monotonic();
        if now < self.next_purge {
            return Ok(());
        }
        let keep = SignedDuration::try_from(self.shared.settings.keep_runs);
        let before = keep
            .ok()
            .and_then(|keep| self.shared.now().checked_sub(keep).ok());
        let namespace = &self.shared.settings.namespace;
        let mut deleted = 0;
        if let Some(before) = before {
            let purge = self.shared.store.purge_runs(namespace, before, PURGE_BATCH);
            deleted = in_time(purge).await?;
        }
        // A full batch means that there are more.
        let pause = if deleted < u64::from(PURGE_BATCH) {
            PURGE_EVERY
        } else {
            Duration::ZERO
        };
        self.next_purge = now + pause;
        Ok(())
    }

    fn log(&self, error: &StoreError, wait: Duration) {
        tracing::warn!(
            namespace = %self.shared.settings.namespace,
            error = error as &dyn std::error::Error,
            transient = error.is_transient(),
            ?wait,
            "the job store failed; nothing is lost, trying again"
        );
    }
}

impl Drop for Driver {
    /// However it ends, a later driver must not take its runs for runs at work.
    fn drop(&mut self) {
        for live in self.live.values() {
            // Its task is aborted only after this; whoever finds no run here must see none start.
            live.stop();
            self.shared.live.remove(live);
        }
    }
}
