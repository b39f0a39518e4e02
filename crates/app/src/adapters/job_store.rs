use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Executor, Pool};
use steadfast_scheduler::{
    ClaimRequest, Claimed, FinishedRun, Job, JobKey, JobStatus, JobStore, RunId, RunNow,
    StoreError, Upserted, Wake,
};

use super::guarded_pool::{GuardedPool, Judged};

/// A schedulers' job store behind the breakers of its database.
///
/// While the breaker is open, calls fail at once with a transient error, which the scheduler meets
/// by waiting: fires are late then, and none is lost.
#[derive(Debug)]
pub struct GuardedJobStore<DB: Judged, S> {
    reader: GuardedPool<DB>,
    writer: GuardedPool<DB>,
    reads: S,
    writes: S,
}

impl<DB: Judged, S: JobStore> GuardedJobStore<DB, S>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    /// The store that `new` makes on each of the pools, which may be one.
    pub fn new(
        reader: GuardedPool<DB>,
        writer: GuardedPool<DB>,
        new: impl Fn(Pool<DB>) -> S,
    ) -> Self {
        Self {
            reads: new(reader.pool().clone()),
            writes: new(writer.pool().clone()),
            reader,
            writer,
        }
    }

    async fn read<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Outcome<T>> + Send,
    ) -> Outcome<T> {
        judged(&self.reader, action, call, |_| true).await
    }

    async fn write<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Outcome<T>> + Send,
    ) -> Outcome<T> {
        judged(&self.writer, action, call, |_| true).await
    }
}

type Outcome<T> = Result<T, StoreError>;

#[async_trait]
impl<DB: Judged, S: JobStore> JobStore for GuardedJobStore<DB, S>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    async fn upsert(&self, namespace: &str, job: &Job, now: Timestamp) -> Outcome<Upserted> {
        self.write("upsert a job", self.writes.upsert(namespace, job, now))
            .await
    }

    async fn remove(&self, namespace: &str, key: &JobKey) -> Outcome<Option<u64>> {
        self.write("remove a job", self.writes.remove(namespace, key))
            .await
    }

    async fn set_paused(
        &self,
        namespace: &str,
        key: &JobKey,
        paused: bool,
        now: Timestamp,
    ) -> Outcome<Option<Upserted>> {
        let set = self.writes.set_paused(namespace, key, paused, now);
        self.write("pause or resume a job", set).await
    }

    async fn request_run(&self, namespace: &str, key: &JobKey, now: Timestamp) -> Outcome<RunNow> {
        let request = self.writes.request_run(namespace, key, now);
        self.write("note a request to run", request).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Outcome<Claimed> {
        let claim = self.writes.claim_due(request);
        // A poll that found nothing has only read: it says nothing about writing.
        let wrote = |claimed: &Claimed| !claimed.runs.is_empty();
        judged(&self.writer, "claim what is due", claim, wrote).await
    }

    async fn renew(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[RunId],
        lease_until: Timestamp,
    ) -> Outcome<Vec<RunId>> {
        let renew = self.writes.renew(namespace, owner, runs, lease_until);
        self.write("renew leases", renew).await
    }

    async fn finish(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[FinishedRun],
        now: Timestamp,
    ) -> Outcome<Option<Timestamp>> {
        let finish = self.writes.finish(namespace, owner, runs, now);
        self.write("store the end of runs", finish).await
    }

    async fn next_due(&self, namespace: &str) -> Outcome<Option<Timestamp>> {
        self.read("find what is due next", self.reads.next_due(namespace))
            .await
    }

    async fn status(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Outcome<Option<JobStatus>> {
        self.read("read a job", self.reads.status(namespace, key, now))
            .await
    }

    async fn purge_runs(&self, namespace: &str, before: Timestamp, limit: u32) -> Outcome<u64> {
        let purge = self.writes.purge_runs(namespace, before, limit);
        self.write("purge old runs", purge).await
    }

    async fn time(&self) -> Outcome<Option<Timestamp>> {
        let time = self.reads.time();
        // A store that goes by its callers' clocks has not been asked anything.
        judged(&self.reader, "ask for the time", time, Option::is_some).await
    }

    async fn watch(&self, namespace: &str, wake: Wake) {
        self.reads.watch(namespace, wake).await;
    }
}

/// Makes a call if the breaker lets it through, and judges it: as a success only if what it
/// returned `proves` that the database does what the pool is for.
async fn judged<DB: Judged, T>(
    pool: &GuardedPool<DB>,
    action: &'static str,
    call: impl Future<Output = Outcome<T>> + Send,
    proves: impl FnOnce(&T) -> bool + Send,
) -> Outcome<T>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let admitted = pool.admit();
    let permit = admitted.map_err(|refused| StoreError::transient(action, refused))?;
    let outcome = call.await;
    match &outcome {
        Err(error) if error.is_transient() => permit.failure(),
        Ok(value) if !proves(value) => permit.ignore(),
        _ => permit.success(),
    };
    outcome
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use jiff::tz::TimeZone;
    use sqlx::{Connection as _, SqliteConnection};
    use steadfast_clock::{Clock, ManualClock};
    use steadfast_db_init::{Database, MigrationSet, SqliteBackend, SqliteOptions};
    use steadfast_scheduler::{Dialect, Spec, SqliteJobStore};
    use steadfast_sync::BreakerState;

    use super::*;
    use crate::adapters::refusal;

    const NAMESPACE: &str = "test";

    fn nothing_due() -> ClaimRequest {
        ClaimRequest {
            namespace: NAMESPACE.into(),
            owner: "me".into(),
            now: Timestamp::UNIX_EPOCH,
            lease_until: Timestamp::UNIX_EPOCH + Duration::from_secs(10),
            grace: Duration::from_secs(1),
            limit: 1,
        }
    }

    #[tokio::test]
    async fn locked_database_opens_the_breaker_also_between_polls_that_only_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let options = SqliteOptions::default().busy_timeout(Duration::from_millis(1));
        let tables = MigrationSet::new();
        let tables = tables.add("scheduler", steadfast_scheduler::MIGRATIONS);
        let backend = SqliteBackend::new(&path, options).unwrap();
        let database = Database::builder(backend).migrations(tables.unwrap());
        let pools = database.build().unwrap().initialize().await.unwrap();
        // It does not move: what is open stays so.
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let (reader, writer) = GuardedPool::pair(&pools, &clock).unwrap();
        let store = GuardedJobStore::new(reader, writer.clone(), SqliteJobStore::new);
        let spec = Spec::parse("@daily", Dialect::Posix5).unwrap();
        let job = Job::new(JobKey::from("a"), spec, TimeZone::UTC);
        let now = Timestamp::UNIX_EPOCH;
        store.upsert(NAMESPACE, &job, now).await.unwrap();

        let url = format!("sqlite://{}", path.display());
        let mut intruder = SqliteConnection::connect(&url).await.unwrap();
        let lock = sqlx::raw_sql("BEGIN IMMEDIATE");
        lock.execute(&mut intruder).await.unwrap();
        for _ in 0..100 {
            let failed = store.set_paused(NAMESPACE, &job.key, true, now).await;
            let failed = failed.unwrap_err();
            assert!(failed.is_transient() && refusal(&failed).is_none());
            if writer.breaker().state != BreakerState::Closed {
                break;
            }
            let polled = store.claim_due(&nothing_due()).await.unwrap();
            assert!(polled.runs.is_empty());
        }
        let refused = store.claim_due(&nothing_due()).await.unwrap_err();
        assert!(refused.is_transient() && refusal(&refused).is_some());
        // What only reads goes on.
        let status = store.status(NAMESPACE, &job.key, now).await.unwrap();
        assert!(!status.unwrap().paused);
        assert!(store.next_due(NAMESPACE).await.unwrap().is_some());
    }
}
