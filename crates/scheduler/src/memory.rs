mod entry;
mod jobs;
mod namespace;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use self::namespace::Namespace;
use crate::{
    ClaimRequest, Claimed, FinishedRun, Job, JobKey, JobStatus, JobStore, RunId, RunNow,
    StoreError, Upserted,
};

/// A [`JobStore`] in memory, for one process: nothing outlives it.
///
/// Jobs are found by key in a hash map and by time in a heap with lazy deletion, so that every
/// operation costs a logarithm at most, however many jobs there are. Runs that have ended are
/// not kept.
#[derive(Debug, Default)]
pub struct MemoryJobStore(Mutex<HashMap<String, Namespace>>);

impl MemoryJobStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Infallible, but for the ease of its callers.
    fn with<R>(&self, name: &str, f: impl FnOnce(&mut Namespace) -> R) -> Result<R, StoreError> {
        let mut namespaces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(namespace) = namespaces.get_mut(name) {
            return Ok(f(namespace));
        }
        Ok(f(namespaces.entry(name.to_owned()).or_default()))
    }
}

#[async_trait]
impl JobStore for MemoryJobStore {
    async fn upsert(
        &self,
        namespace: &str,
        job: &Job,
        now: Timestamp,
    ) -> Result<Upserted, StoreError> {
        self.with(namespace, |namespace| namespace.upsert(job, now))
    }

    async fn remove(&self, namespace: &str, key: &JobKey) -> Result<Option<u64>, StoreError> {
        self.with(namespace, |namespace| namespace.remove(key))
    }

    async fn set_paused(
        &self,
        namespace: &str,
        key: &JobKey,
        paused: bool,
        now: Timestamp,
    ) -> Result<Option<Upserted>, StoreError> {
        self.with(namespace, |namespace| {
            namespace.set_paused(key, paused, now)
        })
    }

    async fn request_run(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<RunNow, StoreError> {
        self.with(namespace, |namespace| namespace.request_run(key, now))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claimed, StoreError> {
        self.with(&request.namespace, |namespace| namespace.claim_due(request))
    }

    async fn renew(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[RunId],
        lease_until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError> {
        self.with(namespace, |namespace| {
            namespace.renew(owner, runs, lease_until)
        })
    }

    async fn finish(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[FinishedRun],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.with(namespace, |namespace| {
            let due = runs
                .iter()
                .filter_map(|run| namespace.finish(owner, run, now));
            due.min()
        })
    }

    async fn next_due(&self, namespace: &str) -> Result<Option<Timestamp>, StoreError> {
        self.with(namespace, Namespace::next_due)
    }

    async fn status(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<Option<JobStatus>, StoreError> {
        self.with(namespace, |namespace| namespace.status(key, now))
    }

    async fn purge_runs(
        &self,
        _namespace: &str,
        _before: Timestamp,
        _limit: u32,
    ) -> Result<u64, StoreError> {
        Ok(0)
    }
}
