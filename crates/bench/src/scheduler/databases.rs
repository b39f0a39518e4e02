//! Claims and ends in databases.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{Timestamp, tz::TimeZone};
use sqlx::{
    PgPool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use steadfast_clock::{Clock, SystemClock};
use steadfast_scheduler::{
    ClaimRequest, Dialect, Ending, FinishedRun, Fire, Job, JobError, JobHandler, JobStore,
    MIGRATIONS, Outcome, PostgresJobStore, Scheduler, Spec, SpecError, SqliteJobStore,
};
use steadfast_testkit::PrivatePostgres;
use tempfile::TempDir;
use tokio::{runtime::Builder, time::sleep};

use crate::figures::{Figures, Goal};

const OURS: &str = "steadfast-scheduler";

/// How many occurrences fall due at once on Postgres, and on SQLite.
const ON_POSTGRES: i64 = 60_000;
const ON_SQLITE: i64 = 20_000;

/// How many are claimed and ended at a time.
const BATCH: usize = 1_024;

/// How many runs of a node are at work at a time.
const CONCURRENCY: usize = 2_048;

struct Counting(AtomicU64);

#[async_trait]
impl JobHandler for Counting {
    async fn run(&self, _: Fire) -> Result<(), JobError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) fn postgres() -> Result<Figures, Box<dyn Error>> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut figures = Figures::default();
    for nodes in [1, 2] {
        let (seconds, duplicates) = runtime.block_on(end_to_end(nodes))?;
        let of = if nodes == 1 { "one node" } else { "two nodes" };
        let rate = ON_POSTGRES as f64 / seconds;
        figures.add(OURS, format!("{of}, runs a second"), rate, "/s");
        if nodes == 2 {
            figures.goal(Goal::AtLeast(10_000.0));
        }
        figures.add(OURS, format!("{of}, duplicates"), duplicates, "");
        figures.goal(Goal::AtMost(0.0));
    }
    Ok(figures.note(
        "60 000 jobs fall due in the same second: each claimed, run and its end stored, until the \
         last end is committed. Each node has its own pool of four connections; server and nodes \
         share the two cores. `synchronous_commit` is on; the server is private and does not wait \
         for the disk (`fsync` is off).",
    ))
}

/// How long it takes until all have run, and how many ran more than once.
async fn end_to_end(nodes: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let server = PrivatePostgres::start().await?;
    let pool = connect(&server).await?;
    for (_, _, postgres) in MIGRATIONS {
        sqlx::raw_sql(*postgres).execute(&pool).await?;
    }
    let store = PostgresJobStore::new(pool.clone());
    let now = Timestamp::try_from(SystemClock.wall())?;
    store.upsert("template", &yearly()?, now).await?;
    let due = now.as_second() * 1_000 + 4_000;
    sqlx::query(
        "INSERT INTO sched_job SELECT (jsonb_populate_record(j, jsonb_build_object('ns', 'bench', \
         'key', 'user:' || n, 'next_fire_at', $2::int8, 'due_at', $2::int8))).* \
         FROM sched_job AS j, generate_series(1, $1) AS n WHERE ns = 'template'",
    )
    .bind(ON_POSTGRES)
    .bind(due)
    .execute(&pool)
    .await?;
    let handler = Arc::new(Counting(AtomicU64::new(0)));
    let mut schedulers = Vec::new();
    for _ in 0..nodes {
        let store = Arc::new(PostgresJobStore::new(connect(&server).await?));
        let scheduler = Scheduler::builder("bench", store, handler.clone());
        let scheduler = scheduler.max_concurrency(CONCURRENCY).build()?;
        scheduler.start().await;
        schedulers.push(scheduler);
    }
    let done = "SELECT COUNT(*) FROM sched_run WHERE finished_at IS NOT NULL";
    while handler.0.load(Ordering::Relaxed) < ON_POSTGRES as u64
        || sqlx::query_scalar::<_, i64>(done).fetch_one(&pool).await? < ON_POSTGRES
    {
        sleep(Duration::from_millis(10)).await;
    }
    let until = Timestamp::try_from(SystemClock.wall())?.as_millisecond();
    for scheduler in schedulers {
        scheduler.shutdown(Duration::from_secs(5)).await;
    }
    let again: i64 = sqlx::query_scalar("SELECT SUM(attempts) - COUNT(*) FROM sched_run")
        .fetch_one(&pool)
        .await?;
    let runs: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sched_run")
        .fetch_one(&pool)
        .await?;
    let fired = handler.0.load(Ordering::Relaxed) as i64;
    let duplicates = again + (runs - ON_POSTGRES) + (fired - ON_POSTGRES);
    Ok(((until - due) as f64 / 1e3, duplicates as f64))
}

async fn connect(server: &PrivatePostgres) -> Result<PgPool, sqlx::Error> {
    let pool = PgPoolOptions::new().min_connections(2).max_connections(4);
    pool.connect(&server.url()).await
}

pub(super) fn sqlite() -> Result<Figures, Box<dyn Error>> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (claims, all) = runtime.block_on(claim_and_finish())?;
    let mut figures = Figures::default();
    figures.add(OURS, "claims a second", ON_SQLITE as f64 / claims, "/s");
    figures.goal(Goal::AtLeast(20_000.0));
    let what = "claimed and ended a second";
    figures.add(OURS, what, ON_SQLITE as f64 / all, "/s");
    Ok(figures.note(
        "20 000 jobs due at once, in transactions of 1 024; a file with a write-ahead log and \
         `synchronous = NORMAL`.",
    ))
}

/// How long it takes to claim all, and to claim and to end all.
async fn claim_and_finish() -> Result<(f64, f64), Box<dyn Error>> {
    let folder = TempDir::new()?;
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("jobs.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options).await?;
    for (_, sqlite, _) in MIGRATIONS {
        sqlx::raw_sql(*sqlite).execute(&pool).await?;
    }
    let store = SqliteJobStore::new(pool.clone());
    let now = Timestamp::try_from(SystemClock.wall())?;
    store.upsert("bench", &yearly()?, now).await?;
    sqlx::query(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1) \
         INSERT INTO sched_job (ns, key, gen, spec, dialect, tz, policy, next_fire_at, due_at) \
         SELECT ns, 'user:' || n, gen, spec, dialect, tz, policy, ?2, ?2 FROM sched_job, n",
    )
    .bind(ON_SQLITE)
    .bind(now.as_second() * 1_000)
    .execute(&pool)
    .await?;
    let request = ClaimRequest {
        namespace: "bench".to_owned(),
        owner: "bench".to_owned(),
        now,
        lease_until: now + Duration::from_secs(60),
        grace: Duration::from_secs(60),
        limit: BATCH,
    };
    let start = SystemClock.monotonic();
    let mut runs = Vec::new();
    while runs.len() < ON_SQLITE as usize {
        runs.extend(store.claim_due(&request).await?.runs);
    }
    let claims = start.elapsed().as_secs_f64();
    let ended = runs.into_iter().map(|run| FinishedRun {
        id: run.id,
        ending: Ending::Done(Outcome::Succeeded),
    });
    let ended: Vec<_> = ended.collect();
    for batch in ended.chunks(BATCH) {
        store.finish("bench", "bench", batch, now).await?;
    }
    Ok((claims, start.elapsed().as_secs_f64()))
}

fn yearly() -> Result<Job, SpecError> {
    let spec = Spec::parse("0 0 1 1 *", Dialect::Posix5)?;
    Ok(Job::new("template", spec, TimeZone::UTC))
}
