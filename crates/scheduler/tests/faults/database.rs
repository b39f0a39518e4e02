//! A private server, and a log in it of what handlers were called with.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{Timestamp, tz::TimeZone};
use sqlx::{PgPool, postgres::PgPoolOptions};
use steadfast_scheduler::{
    Dialect, Fire, Job, JobError, JobHandler, JobStore, MIGRATIONS, PostgresJobStore, Scheduler,
    SchedulerBuilder, Spec,
};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tokio::time::{sleep, timeout};

/// How long something is waited for that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// All schedulers of a test have the same jobs.
pub(crate) const NAMESPACE: &str = "faults";

pub(crate) struct Database {
    pub(crate) server: PrivatePostgres,
    pub(crate) pool: PgPool,
}

impl Database {
    /// With the tables; `None` where there is no server.
    pub(crate) async fn start() -> Option<Self> {
        let server = server_or_skip(PrivatePostgres::start().await)?;
        let pool = connect(&server.url()).await;
        for (_, _, postgres) in MIGRATIONS {
            sqlx::raw_sql(*postgres).execute(&pool).await.unwrap();
        }
        let log = "CREATE TABLE fired (key TEXT, scheduled_for BIGINT, fence BIGINT, owner TEXT,
            late_ms BIGINT)";
        sqlx::raw_sql(log).execute(&pool).await.unwrap();
        Some(Self { server, pool })
    }

    /// Puts in jobs that fire once, in the same second, about this much later; returns that.
    pub(crate) async fn fall_due_in(&self, delay: Duration, jobs: i64) -> Timestamp {
        // Elsewhere first, so that nobody sees but all of them.
        let store = PostgresJobStore::new(self.pool.clone());
        let second = loop {
            let now = self.now().await;
            let second = Timestamp::from_second((now + delay).as_second()).unwrap();
            let job = once_at("job", second);
            let upserted = store.upsert("elsewhere", &job, self.now().await).await;
            if upserted.unwrap().next_fire == Some(second) {
                break second;
            }
        };
        sqlx::query(
            "INSERT INTO sched_job
             SELECT (jsonb_populate_record(
               j, jsonb_build_object('ns', $1::text, 'key', key || ' ' || n))).*
             FROM sched_job AS j, generate_series(1, $2) AS n WHERE ns = 'elsewhere'",
        )
        .bind(NAMESPACE)
        .bind(jobs)
        .execute(&self.pool)
        .await
        .unwrap();
        second
    }

    /// One that is not started, for changes; and its log.
    pub(crate) fn idle_scheduler(&self) -> (Scheduler, Arc<Log>) {
        let log = Arc::new(Log::new(&self.pool, "idle"));
        (builder(&self.pool, log.clone()).build().unwrap(), log)
    }

    /// The server's time.
    pub(crate) async fn now(&self) -> Timestamp {
        let now: i64 = self
            .one("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8")
            .await;
        Timestamp::from_millisecond(now).unwrap()
    }

    pub(crate) async fn one(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn execute(&self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&self.pool).await.unwrap();
    }

    /// Waits until a query of one truth value is true.
    pub(crate) async fn until(&self, condition: &'static str) {
        let is_true = async || {
            let query = sqlx::query_scalar::<_, bool>(condition);
            query.fetch_one(&self.pool).await.unwrap()
        };
        timeout(SOON, until(is_true)).await.expect(condition);
    }

    /// Every occurrence was claimed once and ended, and the handler was called for each once.
    pub(crate) async fn assert_each_once(&self, occurrences: i64) {
        let runs = "SELECT COUNT(*) FROM sched_run WHERE attempts = 1 AND outcome = 'succeeded'";
        assert_eq!(self.one(runs).await, occurrences);
        assert_eq!(
            self.one("SELECT COUNT(*) FROM sched_run").await,
            occurrences
        );
        assert_eq!(self.one("SELECT COUNT(*) FROM fired").await, occurrences);
        let distinct = "SELECT COUNT(DISTINCT (key, scheduled_for)) FROM fired";
        assert_eq!(self.one(distinct).await, occurrences);
    }
}

/// Asks again and again.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    while !condition().await {
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn connect(url: &str) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(5);
    pool.connect(url).await.unwrap()
}

pub(crate) fn builder(pool: &PgPool, handler: Arc<dyn JobHandler>) -> SchedulerBuilder {
    let store = Arc::new(PostgresJobStore::new(pool.clone()));
    Scheduler::builder(NAMESPACE, store, handler)
}

/// A job that fires once, at this second, if the test does not take a year.
fn once_at(key: &str, second: Timestamp) -> Job {
    let time = TimeZone::UTC.to_datetime(second);
    let spec = format!(
        "{} {} {} {} {} ?",
        time.second(),
        time.minute(),
        time.hour(),
        time.day(),
        time.month()
    );
    Job::new(
        key,
        Spec::parse(&spec, Dialect::Quartz6).unwrap(),
        TimeZone::UTC,
    )
}

pub(crate) fn job(key: &str, spec: &str) -> Job {
    Job::new(
        key,
        Spec::parse(spec, Dialect::Posix5).unwrap(),
        TimeZone::UTC,
    )
}

/// A handler that notes its fires in the table `fired`.
pub(crate) struct Log {
    pool: PgPool,
    owner: String,
}

impl Log {
    pub(crate) fn new(pool: &PgPool, owner: &str) -> Self {
        Self {
            pool: pool.clone(),
            owner: owner.into(),
        }
    }
}

#[async_trait]
impl JobHandler for Log {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        let insert = sqlx::query(
            "INSERT INTO fired VALUES ($1, $2, $3, $4,
               (extract(epoch FROM clock_timestamp()) * 1000)::int8 - $2)",
        );
        let insert = insert
            .bind(fire.key.as_str())
            .bind(fire.scheduled_for.as_millisecond())
            .bind(fire.fence as i64)
            .bind(&self.owner);
        insert.execute(&self.pool).await.map_err(JobError::new)?;
        Ok(())
    }
}
