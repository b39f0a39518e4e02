//! A network that refuses, closes, resets, swallows or loses answers while a database is being
//! initialised.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection, PgPool};
use steadfast_clock::{Clock, SystemClock};
use steadfast_db_init::{Database, InitError, Phase, PostgresBackend, PostgresOptions, Status};
use steadfast_testkit::{Fault, FaultProxy, PrivatePostgres, seed, server_or_skip};
use tokio::task::JoinSet;

use crate::{NOTES, chain, pass, persistent, reaches, set, until};

const CONNECT: Duration = Duration::from_millis(500);

async fn proxied() -> Option<(PrivatePostgres, FaultProxy)> {
    let server = server_or_skip(PrivatePostgres::start().await)?;
    let upstream = ([127, 0, 0, 1], server.port()).into();
    Some((server, FaultProxy::start(upstream).await.unwrap()))
}

fn url(proxy: &FaultProxy, database: &str) -> String {
    format!("postgres://postgres@{}/{database}", proxy.addr())
}

/// Initialises in a task.
fn begin(
    database: &Arc<Database<PostgresBackend>>,
) -> JoinSet<Result<Arc<PgPool>, Arc<InitError>>> {
    let database = Arc::clone(database);
    let mut caller = JoinSet::new();
    caller.spawn(async move { database.initialize().await });
    caller
}

async fn notes(pool: &PgPool) -> i64 {
    let notes = sqlx::query_scalar("SELECT count(*) FROM note");
    notes.fetch_one(pool).await.unwrap()
}

/// Waits in the middle until the lock 43 can be had.
const WAITS: &[(u32, &str, &str)] = &[
    NOTES[0],
    NOTES[1],
    (3, "SELECT 1", "SELECT pg_advisory_xact_lock(43)"),
];
/// A row when the migrations wait there.
const MIGRATING: &str =
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 43 AND NOT granted";

/// A connection of one's own that has the lock 43.
async fn holding(url: &str) -> PgConnection {
    let mut direct = PgConnection::connect(url).await.unwrap();
    let hold = "SELECT pg_advisory_lock(43)";
    sqlx::query(hold).execute(&mut direct).await.unwrap();
    direct
}

#[tokio::test]
async fn network_that_fails_before_and_during_is_ridden_out_and_migrates_exactly_once() {
    let Some((server, proxy)) = proxied().await else {
        return;
    };
    let faults = [
        Fault::Refuse,
        Fault::AcceptThenClose,
        Fault::Reset,
        Fault::Blackhole,
    ];
    for (round, fault) in faults.into_iter().enumerate() {
        let name = format!("round{round}");
        server.create_database(&name).await.unwrap();
        proxy.set(fault).await.unwrap();
        let mut direct = holding(&server.database_url(&name)).await;
        let database = Arc::new(persistent(&url(&proxy, &name), CONNECT, WAITS));
        let mut statuses = database.subscribe();
        let mut caller = begin(&database);
        let third = |status: &Status| matches!(status, Status::Connecting { attempt: 3.., .. });
        reaches(&mut statuses, third).await;
        proxy.set(Fault::Forward).await.unwrap();
        seen(&mut direct, MIGRATING).await;
        if fault != Fault::Blackhole {
            // Once more in the middle of the migrations; a silence there is for the deadline.
            proxy.set(fault).await.unwrap();
            let again = |status: &Status| matches!(status, Status::Connecting { .. });
            reaches(&mut statuses, again).await;
            proxy.set(Fault::Forward).await.unwrap();
        }
        direct.close().await.unwrap();
        let pool = caller.join_next().await.unwrap().unwrap();
        let pool = pool.unwrap_or_else(|error| panic!("{fault:?}: {}", chain(&*error)));
        assert_eq!(notes(&pool).await, 1, "{fault:?}");
        drop(pool);
        assert!(database.close(Duration::from_secs(30)).await.complete);
    }
}

#[tokio::test]
async fn silence_in_the_middle_of_a_migration_ends_at_the_deadline_and_leaves_nothing() {
    let Some((server, proxy)) = proxied().await else {
        return;
    };
    let options = PostgresOptions::default().connect_timeout(CONNECT);
    let backend = PostgresBackend::new(&url(&proxy, "postgres"), options).unwrap();
    let database = Database::builder(backend)
        .migrations(set("notes", WAITS))
        .deadline(Duration::from_secs(5));
    let mut direct = holding(&server.url()).await;
    let database = Arc::new(database.build().unwrap());
    let mut caller = begin(&database);
    seen(&mut direct, MIGRATING).await;
    proxy.set(Fault::Blackhole).await.unwrap();
    let error = caller.join_next().await.unwrap().unwrap().unwrap_err();
    let InitError::Deadline {
        location, phase, ..
    } = &*error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*location, format!("postgres at {}", proxy.addr()));
    assert_eq!(*phase, Phase::Migrate, "{error:?}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables: i64 = sqlx::query_scalar(tables)
        .fetch_one(&mut direct)
        .await
        .unwrap();
    assert_eq!(tables, 0, "a part of the migrations is there");

    proxy.set(Fault::Forward).await.unwrap();
    direct.close().await.unwrap();
    let pool = database.initialize().await.unwrap();
    assert_eq!(notes(&pool).await, 1);
}

/// Its commit takes until the lock 43 can be had, and others can see that it has begun.
const SLOW_COMMIT: &str = "CREATE TABLE slow (id int);
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_lock(42); PERFORM pg_advisory_xact_lock(43); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle();
    INSERT INTO slow VALUES (1)";
const COMMITS_SLOWLY: &[(u32, &str, &str)] = &[(1, "SELECT 1", SLOW_COMMIT)];

#[tokio::test]
async fn commit_whose_answer_is_lost_is_looked_up_in_the_ledger_and_not_repeated() {
    let Some((server, proxy)) = proxied().await else {
        return;
    };
    let mut direct = holding(&server.url()).await;
    let url = url(&proxy, "postgres");
    let database = Arc::new(persistent(&url, CONNECT * 10, COMMITS_SLOWLY));
    let mut caller = begin(&database);

    let begun = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 42";
    seen(&mut direct, begun).await;
    proxy.set(Fault::DropAnswers).await.unwrap();
    let release = "SELECT pg_advisory_unlock(43)";
    sqlx::query(release).execute(&mut direct).await.unwrap();
    // It is committed, and nobody has told the migrator.
    seen(
        &mut direct,
        "SELECT 1 FROM pg_tables WHERE tablename = 'slow'",
    )
    .await;
    let migrating = Status::Migrating {
        generation: 1,
        attempt: 1,
    };
    assert_eq!(database.status().to_string(), migrating.to_string());

    proxy.set(Fault::Refuse).await.unwrap();
    proxy.set(Fault::Forward).await.unwrap();
    let pool = caller.join_next().await.unwrap().unwrap().unwrap();
    let count = "SELECT (SELECT count(*) FROM slow) + (SELECT count(*) FROM steadfast_migration)";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&*pool).await.unwrap();
    assert_eq!(count, 2, "applied once, and in the ledger once");
}

/// Waits until the query has a row.
async fn seen(connection: &mut PgConnection, query: &'static str) {
    until(async || {
        let row = sqlx::query(query).fetch_optional(&mut *connection);
        row.await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn outage_of_thirty_seconds_costs_ten_connects_at_most() {
    let Some((_server, proxy)) = proxied().await else {
        return;
    };
    proxy.set(Fault::AcceptThenClose).await.unwrap();
    let options = PostgresOptions::default();
    let backend = PostgresBackend::new(&url(&proxy, "postgres"), options).unwrap();
    let database = Database::builder(backend).migrations(set("notes", NOTES));
    let database = Arc::new(database.seed(seed()).build().unwrap());
    let started = SystemClock.monotonic();
    let mut caller = begin(&database);
    pass(Duration::from_secs(30)).await;
    let outage = SystemClock.monotonic() - started;
    let connects = proxy.accepted();
    proxy.set(Fault::Forward).await.unwrap();
    println!("{connects} connects in {outage:?}");
    assert!((2..=10).contains(&connects), "{connects} connects");
    caller.join_next().await.unwrap().unwrap().unwrap();
}
