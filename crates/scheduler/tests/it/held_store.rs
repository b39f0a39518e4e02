use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use steadfast_scheduler::{
    ClaimRequest, Claimed, FinishedRun, Job, JobKey, JobStatus, JobStore, MemoryJobStore, RunId,
    RunNow, StoreError, Upserted,
};
use steadfast_testkit::Random;
use tokio::sync::watch;

/// A memory store whose replies to claims and removals can be held back, and that can be made to panic, and to
/// dawdle.
#[derive(Debug, Default)]
pub(crate) struct HeldStore {
    inner: MemoryJobStore,
    hold: watch::Sender<bool>,
    hold_removals: watch::Sender<bool>,
    held: watch::Sender<usize>,
    panics: AtomicU32,
    dawdles: Option<Mutex<Random>>,
}

impl HeldStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// One that lets others go first, a random number of times before and after what it does.
    pub(crate) fn dawdling(random: Random) -> Self {
        Self {
            dawdles: Some(Mutex::new(random)),
            ..Self::default()
        }
    }

    async fn slowly<T>(&self, call: impl Future<Output = T>) -> T {
        self.dawdle().await;
        let answer = call.await;
        self.dawdle().await;
        answer
    }

    async fn dawdle(&self) {
        let times = self.dawdles.as_ref().map_or(0, |random| {
            let mut random = random.lock().unwrap();
            random.below(4)
        });
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }

    async fn wait_while(&self, hold: &watch::Sender<bool>) {
        if *hold.borrow() {
            self.held.send_modify(|held| *held += 1);
            let mut hold = hold.subscribe();
            let _ = hold.wait_for(|hold| !hold).await;
        }
    }

    /// From now on, removals that removed a job wait before they return.
    pub(crate) fn hold_removals(&self) {
        self.hold_removals.send_replace(true);
    }

    /// From now on, claims that gave runs wait before they return.
    pub(crate) fn hold(&self) {
        self.hold.send_replace(true);
    }

    pub(crate) async fn wait_until_held(&self) {
        let mut held = self.held.subscribe();
        held.wait_for(|held| *held > 0).await.unwrap();
    }

    /// The next `calls` of the operations that change something panic.
    pub(crate) fn panic_at(&self, calls: u32) {
        self.panics.store(calls, Ordering::SeqCst);
    }

    pub(crate) fn panics_left(&self) -> u32 {
        self.panics.load(Ordering::SeqCst)
    }

    fn trap(&self) {
        let left = self.panics_left();
        if left > 0 {
            self.panic_at(left - 1);
            panic!("a bug in the store");
        }
    }

    pub(crate) fn let_go(&self) {
        self.hold.send_replace(false);
        self.hold_removals.send_replace(false);
    }
}

#[async_trait]
impl JobStore for HeldStore {
    async fn upsert(&self, ns: &str, job: &Job, now: Timestamp) -> Result<Upserted, StoreError> {
        self.trap();
        self.slowly(self.inner.upsert(ns, job, now)).await
    }

    async fn remove(&self, ns: &str, key: &JobKey) -> Result<Option<u64>, StoreError> {
        let removed = self.slowly(self.inner.remove(ns, key)).await?;
        if removed.is_some() {
            self.wait_while(&self.hold_removals).await;
        }
        Ok(removed)
    }

    async fn set_paused(
        &self,
        ns: &str,
        key: &JobKey,
        paused: bool,
        now: Timestamp,
    ) -> Result<Option<Upserted>, StoreError> {
        self.slowly(self.inner.set_paused(ns, key, paused, now))
            .await
    }

    async fn request_run(
        &self,
        ns: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<RunNow, StoreError> {
        self.slowly(self.inner.request_run(ns, key, now)).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claimed, StoreError> {
        self.trap();
        let claimed = self.slowly(self.inner.claim_due(request)).await?;
        if !claimed.runs.is_empty() {
            self.wait_while(&self.hold).await;
        }
        Ok(claimed)
    }

    async fn renew(
        &self,
        ns: &str,
        owner: &str,
        runs: &[RunId],
        lease_until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError> {
        self.slowly(self.inner.renew(ns, owner, runs, lease_until))
            .await
    }

    async fn finish(
        &self,
        ns: &str,
        owner: &str,
        runs: &[FinishedRun],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.trap();
        self.slowly(self.inner.finish(ns, owner, runs, now)).await
    }

    async fn next_due(&self, ns: &str) -> Result<Option<Timestamp>, StoreError> {
        self.slowly(self.inner.next_due(ns)).await
    }

    async fn status(
        &self,
        ns: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<Option<JobStatus>, StoreError> {
        self.slowly(self.inner.status(ns, key, now)).await
    }

    async fn purge_runs(&self, ns: &str, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.slowly(self.inner.purge_runs(ns, before, limit)).await
    }
}
