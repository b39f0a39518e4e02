//! A corner of a store, and shorthand for what the checks do in it.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    ClaimRequest, Claimed, Dialect, Ending, FinishedRun, Job, JobKey, JobStatus, JobStore, Outcome,
    Run, RunId, RunNow, Spec, StoreError, Upserted,
};

/// How long a claim lasts.
pub(super) const LEASE: SignedDuration = SignedDuration::from_secs(10);

/// A namespace of a store, with shorthand for its operations.
pub(super) struct Room {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) namespace: &'static str,
}

impl Room {
    pub(super) fn new(store: &Arc<dyn JobStore>, namespace: &'static str) -> Self {
        Self {
            store: store.clone(),
            namespace,
        }
    }

    pub(super) async fn upsert(&self, job: &Job, now: Timestamp) -> Upserted {
        done(self.store.upsert(self.namespace, job, now).await)
    }

    pub(super) async fn claim_as(&self, owner: &str, now: Timestamp, limit: usize) -> Claimed {
        let request = ClaimRequest {
            namespace: self.namespace.into(),
            owner: owner.into(),
            now,
            lease_until: now + LEASE,
            grace: Duration::from_secs(60),
            limit,
        };
        done(self.store.claim_due(&request).await)
    }

    pub(super) async fn claim(&self, now: Timestamp) -> Vec<Run> {
        self.claim_as("a", now, 100).await.runs
    }

    pub(super) async fn end(&self, owner: &str, id: &RunId, ending: Ending, now: Timestamp) {
        let run = FinishedRun {
            id: id.clone(),
            ending,
        };
        done(self.store.finish(self.namespace, owner, &[run], now).await);
    }

    pub(super) async fn succeed(&self, run: &Run, now: Timestamp) {
        let ending = Ending::Done(Outcome::Succeeded);
        self.end("a", &run.id, ending, now).await;
    }

    pub(super) async fn renew(&self, owner: &str, id: &RunId, until: Timestamp) -> Vec<RunId> {
        let runs = std::slice::from_ref(id);
        done(self.store.renew(self.namespace, owner, runs, until).await)
    }

    pub(super) async fn status(&self, key: &str, now: Timestamp) -> Option<JobStatus> {
        done(self.store.status(self.namespace, &key.into(), now).await)
    }

    pub(super) async fn skipped(&self, key: &str) -> u64 {
        let status = self.status(key, at("00:00:00")).await;
        status.map_or(0, |status| status.skipped)
    }

    pub(super) async fn request_run(&self, key: &str, now: Timestamp) -> RunNow {
        done(
            self.store
                .request_run(self.namespace, &key.into(), now)
                .await,
        )
    }

    pub(super) async fn set_paused(
        &self,
        key: &str,
        paused: bool,
        now: Timestamp,
    ) -> Option<Upserted> {
        let key = JobKey::from(key);
        done(
            self.store
                .set_paused(self.namespace, &key, paused, now)
                .await,
        )
    }

    pub(super) async fn remove(&self, key: &str) -> Option<u64> {
        done(self.store.remove(self.namespace, &key.into()).await)
    }
}

pub(super) fn done<T>(result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// A time of 1 January 2030.
pub(super) fn at(time: &str) -> Timestamp {
    match format!("2030-01-01T{time}Z").parse() {
        Ok(instant) => instant,
        Err(error) => panic!("{time}: {error}"),
    }
}

pub(super) fn job(key: &str, spec: &str) -> Job {
    match Spec::parse(spec, Dialect::Posix5) {
        Ok(spec) => Job::new(key, spec, TimeZone::UTC),
        Err(error) => panic!("{error}"),
    }
}

pub(super) fn times(runs: &[Run]) -> Vec<Timestamp> {
    runs.iter().map(|run| run.id.scheduled_for).collect()
}
