//! How Postgres finds rows: never by reading a table as a whole.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{PgPool, postgres::PgPoolOptions};
use steadfast_scheduler::{
    ClaimRequest, Ending, FinishedRun, JobStore, MIGRATIONS, Outcome, PostgresJobStore, Run, RunId,
};
use steadfast_testkit::{PrivatePostgres, server_or_skip};

use crate::{
    fixture::at,
    postgres::{hourly, request},
};

const LIMIT: usize = 1_000;

/// The worst case: plans that were made, and kept, while the tables were empty, and no statistics
/// since.
#[tokio::test]
async fn tables_that_grew_to_200_000_rows_within_seconds_are_not_read_as_a_whole() {
    let server = PrivatePostgres::builder().setting("autovacuum", "off");
    let Some(server) = server_or_skip(server.start().await) else {
        return;
    };
    // One connection has all the plans, and its own counts.
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&server.url()).await.unwrap();
    for (_, _, postgres) in MIGRATIONS {
        sqlx::raw_sql(*postgres).execute(&pool).await.unwrap();
    }
    sqlx::raw_sql("ANALYZE").execute(&pool).await.unwrap();
    let store = PostgresJobStore::new(pool.clone());
    for _ in 0..10 {
        use_everything(&store).await;
    }
    grow(&pool).await;

    let before = whole_reads(&pool).await;
    use_everything(&store).await;
    assert_eq!(whole_reads(&pool).await, before);
}

/// Calls everything that reads or writes rows, on the jobs that are due and on one more.
async fn use_everything(store: &PostgresJobStore) {
    let (now, later) = (at("01:00:00"), at("01:00:20"));
    store.upsert("ns", &hourly("one"), now).await.unwrap();
    store.request_run("ns", &"one".into(), now).await.unwrap();
    let runs = claim(store, now).await;
    let ids: Vec<RunId> = runs.iter().map(|run| run.id.clone()).collect();
    let lease_until = now + Duration::from_secs(10);
    let lost = store.renew("ns", "a", &ids, lease_until).await.unwrap();
    assert_eq!(lost, []);
    let half = ids.len() / 2;
    finish(store, &ids[..half], Ending::Released, now).await;
    // Those that were given back, and those whose lease has ended.
    let again = claim(store, later).await;
    let ids: Vec<RunId> = again.into_iter().map(|run| run.id).collect();
    finish(store, &ids, Ending::Done(Outcome::Succeeded), later).await;
    let one = &"one".into();
    store.set_paused("ns", one, true, now).await.unwrap();
    store.status("ns", one, now).await.unwrap();
    store.remove("ns", one).await.unwrap();
    store.next_due("ns").await.unwrap();
    store.purge_runs("ns", later, 1).await.unwrap();
}

async fn claim(store: &PostgresJobStore, now: Timestamp) -> Vec<Run> {
    let request = ClaimRequest {
        limit: LIMIT,
        ..request("a", now)
    };
    store.claim_due(&request).await.unwrap().runs
}

async fn finish(store: &PostgresJobStore, ids: &[RunId], ending: Ending, now: Timestamp) {
    let ended = ids.iter().map(|id| FinishedRun {
        id: id.clone(),
        ending: ending.clone(),
    });
    let ended: Vec<_> = ended.collect();
    store.finish("ns", "a", &ended, now).await.unwrap();
}

/// 200 000 jobs, of which half are due, and 200 000 runs that have ended.
async fn grow(pool: &PgPool) {
    let (due, later) = (at("01:00:00"), at("02:00:00"));
    let jobs =
        "INSERT INTO sched_job (ns, key, gen, spec, dialect, tz, policy, next_fire_at, due_at)
         SELECT 'ns', 'job' || n, 1, '0 * * * *', 'posix5', 'UTC', '',
           CASE WHEN n % 2 = 0 THEN $1 ELSE $2 END, CASE WHEN n % 2 = 0 THEN $1 ELSE $2 END
         FROM generate_series(1, 200000) AS n";
    let runs =
        "INSERT INTO sched_run (ns, key, scheduled_for, gen, cause, fence, owner, lease_until,
           state, finished_at, outcome)
         SELECT 'ns', 'job' || n, $1 - 3600000, 1, 'scheduled', 0, 'a', $1, 'done', $2, 'succeeded'
         FROM generate_series(1, 200000) AS n";
    for statement in [jobs, runs] {
        sqlx::query(statement)
            .bind(due.as_millisecond())
            .bind(later.as_millisecond())
            .execute(pool)
            .await
            .unwrap();
    }
}

/// How often this connection has read each of the tables as a whole.
async fn whole_reads(pool: &PgPool) -> Vec<(String, i64)> {
    let statements = "SELECT relname::text, seq_scan
         FROM pg_stat_user_tables ORDER BY relname";
    let flush = "SELECT pg_stat_force_next_flush()::text";
    sqlx::raw_sql(flush).execute(pool).await.unwrap();
    sqlx::query_as(statements).fetch_all(pool).await.unwrap()
}
