//! Leases in a private Postgres server.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgPoolOptions};
use steadfast_lease::{
    Fencing, LockBackend, MIGRATIONS, PostgresBackend, Scope, test_util::conformance,
};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tokio::time::{sleep, timeout};

use crate::support::SEC;

/// How long a condition is waited for that must come true.
const SOON: Duration = Duration::from_secs(20);

/// A server whose database `postgres` has the tables.
pub(crate) async fn start() -> Option<(PrivatePostgres, PgPool)> {
    let server = server_or_skip(PrivatePostgres::start().await)?;
    let pool = open(&server).await;
    for (_, _, postgres) in MIGRATIONS {
        let created = sqlx::raw_sql(*postgres).execute(&pool).await;
        created.expect("a new database takes the tables");
    }
    Some((server, pool))
}

async fn open(server: &PrivatePostgres) -> PgPool {
    let pool = PgPool::connect(&server.url()).await;
    pool.expect("the server is there")
}

/// Waits until `condition`, a query of one truth value, is true.
pub(crate) async fn until(pool: &PgPool, condition: &'static str) {
    let wait = async {
        while !sqlx::query_scalar::<_, bool>(condition)
            .fetch_one(pool)
            .await
            .expect("the query is sound")
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.expect(condition);
}

#[tokio::test]
async fn postgres_backend_conforms() {
    let Some((_server, pool)) = start().await else {
        return;
    };
    let backend = PostgresBackend::new(pool);
    assert_eq!(backend.guarantees().scope, Scope::Cluster);
    assert_eq!(backend.guarantees().fencing, Fencing::Monotonic);
    conformance::all(Arc::new(backend), "suite", SEC).await;
}

#[tokio::test]
async fn attempt_that_waited_for_the_row_goes_by_the_time_after_the_wait() {
    let Some((_server, pool)) = start().await else {
        return;
    };
    let backend = PostgresBackend::new(pool.clone());
    let ttl = SEC / 2;
    let first = backend.try_acquire("key", "a", ttl).await.unwrap().unwrap();
    let note = "CREATE TABLE first AS SELECT expires_at FROM lease_lock";
    sqlx::query(note).execute(&pool).await.unwrap();
    let mut blocker = pool.begin().await.unwrap();
    let lock = "SELECT * FROM lease_lock FOR UPDATE";
    sqlx::query(lock).execute(&mut *blocker).await.unwrap();
    let free_the_row = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')";
        until(&pool, waits).await;
        until(
            &pool,
            "SELECT expires_at < clock_timestamp() FROM lease_lock",
        )
        .await;
        blocker.rollback().await.unwrap();
    };
    let (second, ()) = tokio::join!(backend.try_acquire("key", "b", 60 * SEC), free_the_row);
    let second = second.unwrap();
    let second = second.expect("the lease was free when the row was");
    assert!(first.fence < second.fence);
    let from_then_on = "SELECT lease_lock.expires_at > first.expires_at + interval '60 seconds'
                        FROM lease_lock, first";
    until(&pool, from_then_on).await;
}

/// On one machine client and server have one clock: the server's is moved by a function of its
/// sessions that hides the real one.
#[tokio::test]
async fn lease_goes_by_the_time_of_the_server() {
    let Some((_server, pool)) = start().await else {
        return;
    };
    let moved = "CREATE SCHEMA moved;
        CREATE TABLE moved.ahead (by interval);
        INSERT INTO moved.ahead VALUES ('1 hour');
        CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
          AS 'SELECT pg_catalog.clock_timestamp() + by FROM moved.ahead'";
    sqlx::raw_sql(moved).execute(&pool).await.unwrap();
    let options = (*pool.connect_options()).clone();
    let options = options.options([("search_path", "moved,public,pg_catalog")]);
    let sessions = PgPoolOptions::new().connect_with(options).await.unwrap();
    let backend = PostgresBackend::new(sessions);
    let acquire = async |owner| backend.try_acquire("key", owner, 600 * SEC).await.unwrap();
    let set = async |ahead: &str| {
        let update = sqlx::query("UPDATE moved.ahead SET by = $1::text::interval").bind(ahead);
        update.execute(&pool).await.unwrap();
    };
    let first = acquire("a").await.expect("it is free");
    assert_eq!(
        acquire("b").await,
        None,
        "it ends an hour and ten minutes from now"
    );
    set("1 hour 9 minutes").await;
    assert!(backend.renew(&first, 600 * SEC).await.unwrap().is_some());
    set("1 hour 18 minutes").await;
    assert_eq!(acquire("b").await, None, "it was extended");
    set("1 hour 20 minutes").await;
    assert_eq!(
        backend.renew(&first, SEC).await.unwrap(),
        None,
        "it has ended"
    );
    let second = acquire("b").await.expect("it has ended");
    assert!(first.fence < second.fence);
}

#[tokio::test]
async fn fence_is_kept_with_the_lease_of_another_client() {
    let Some((server, mut pool)) = start().await else {
        return;
    };
    for fence in 1..4 {
        let backend = PostgresBackend::new(pool.clone());
        let grant = backend.try_acquire("key", "a", 60 * SEC).await.unwrap();
        let grant = grant.unwrap();
        assert_eq!(grant.fence, fence);
        pool.close().await;
        pool = open(&server).await;
        let restarted = PostgresBackend::new(pool.clone());
        let other = restarted.try_acquire("key", "b", 60 * SEC).await.unwrap();
        assert_eq!(other, None);
        restarted.release(&grant).await.unwrap();
    }
}

#[tokio::test]
async fn another_backend_on_the_server_goes_on() {
    let Some((server, pool)) = start().await else {
        return;
    };
    let backend = PostgresBackend::new(pool);
    let another = PostgresBackend::new(open(&server).await);
    conformance::another_backend_goes_on(&backend, &another, "key", SEC / 2).await;
}

#[tokio::test]
async fn missing_table_is_a_permanent_error_that_names_table_database_and_server() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let backend = PostgresBackend::new(open(&server).await);
    let error = backend.try_acquire("key", "a", SEC).await.unwrap_err();
    assert!(!error.is_transient());
    let place = format!(
        "cannot acquire a lease in table `lease_lock` of database `postgres` at 127.0.0.1:{}: ",
        server.port()
    );
    assert!(error.to_string().starts_with(&place), "{error}");
}

#[tokio::test]
async fn terminated_session_is_a_transient_error_and_replaced() {
    let Some((_server, pool)) = start().await else {
        return;
    };
    let options = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(SOON)
        .test_before_acquire(false);
    let single = options.connect_with((*pool.connect_options()).clone());
    let backend = PostgresBackend::new(single.await.unwrap());
    let grant = backend.try_acquire("key", "a", 60 * SEC).await.unwrap();
    let others = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    sqlx::query(others).execute(&pool).await.unwrap();
    let grant = grant.unwrap();
    let error = backend.renew(&grant, SEC).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let renewed = backend.renew(&grant, SEC).await.unwrap();
    assert!(renewed.is_some(), "the lease is still held");
}

#[tokio::test]
async fn server_that_is_gone_is_a_transient_error() {
    let Some((server, pool)) = start().await else {
        return;
    };
    let options = (*pool.connect_options()).clone();
    let impatient = PgPoolOptions::new().acquire_timeout(SEC);
    let backend = PostgresBackend::new(impatient.connect_lazy_with(options));
    drop(server);
    let error = backend.try_acquire("key", "a", SEC).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}
