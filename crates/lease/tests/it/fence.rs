//! Writes of holders whose lease is over, refused by the database.

use std::time::Duration;

use sqlx::{PgPool, SqlitePool};
use steadfast_lease::{
    FenceError, Grant, LockBackend, PostgresBackend, SqliteBackend, fence_postgres, fence_sqlite,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{postgres, sqlite};

const TTL: Duration = Duration::from_millis(50);

/// The next grant, as soon as the last one has expired.
async fn grant(backend: &impl LockBackend) -> Grant {
    loop {
        match backend.try_acquire("nightly", "a", TTL).await {
            Ok(Some(grant)) => return grant,
            Ok(None) => sleep(TTL / 10).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn write_sqlite(pool: &SqlitePool, resource: &str, fence: u64) -> Result<(), FenceError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.expect("begins");
    // Before the check, to see that it is undone with it.
    let insert = sqlx::query("INSERT INTO written VALUES (?)").bind(fence.cast_signed());
    insert.execute(&mut *tx).await.expect("the table is there");
    fence_sqlite(&mut tx, resource, fence).await?;
    tx.commit().await.expect("commits");
    Ok(())
}

async fn write_postgres(pool: &PgPool, resource: &str, fence: u64) -> Result<(), FenceError> {
    let mut tx = pool.begin().await.expect("begins");
    let insert = sqlx::query("INSERT INTO written VALUES ($1)").bind(fence.cast_signed());
    insert.execute(&mut *tx).await.expect("the table is there");
    fence_postgres(&mut tx, resource, fence).await?;
    tx.commit().await.expect("commits");
    Ok(())
}

fn assert_refused(outcome: Result<(), FenceError>) {
    assert_eq!(
        outcome.expect_err("too late").to_string(),
        "write to `nightly` with fence 1 comes too late: fence 2 has written since"
    );
}

const WRITTEN: &str = "CREATE TABLE written (fence BIGINT)";
const READ: &str = "SELECT fence FROM written";

#[tokio::test]
async fn late_write_of_a_holder_that_was_stopped_is_refused_by_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let pool = sqlite::create(&directory.path().join("db")).await;
    sqlx::query(WRITTEN).execute(&pool).await.unwrap();
    let backend = SqliteBackend::new(pool.clone());
    let stopped = grant(&backend).await;
    let successor = grant(&backend).await;
    for grant in [&stopped, &successor, &successor] {
        let written = write_sqlite(&pool, "nightly", grant.fence).await;
        written.unwrap();
    }
    assert_refused(write_sqlite(&pool, "nightly", stopped.fence).await);
    // Another resource has fences of its own.
    write_sqlite(&pool, "weekly", stopped.fence).await.unwrap();
    let written: Vec<i64> = sqlx::query_scalar(READ).fetch_all(&pool).await.unwrap();
    assert_eq!(written, [1, 2, 2, 1]);
}

#[tokio::test]
async fn fence_that_no_row_can_hold_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let pool = sqlite::create(&directory.path().join("db")).await;
    sqlx::query(WRITTEN).execute(&pool).await.unwrap();
    let error = write_sqlite(&pool, "nightly", 1 << 63).await.unwrap_err();
    assert!(matches!(error, FenceError::TooLarge { .. }), "{error}");
    let largest = i64::MAX.cast_unsigned();
    write_sqlite(&pool, "nightly", largest).await.unwrap();
}

#[tokio::test]
async fn late_write_of_a_holder_that_was_stopped_is_refused_by_postgres() {
    let Some((_server, pool)) = postgres::start().await else {
        return;
    };
    sqlx::query(WRITTEN).execute(&pool).await.unwrap();
    let backend = PostgresBackend::new(pool.clone());
    let stopped = grant(&backend).await;
    let successor = grant(&backend).await;
    for grant in [&stopped, &successor, &successor] {
        let written = write_postgres(&pool, "nightly", grant.fence).await;
        written.unwrap();
    }
    assert_refused(write_postgres(&pool, "nightly", stopped.fence).await);
    write_postgres(&pool, "weekly", stopped.fence)
        .await
        .unwrap();
    let written: Vec<i64> = sqlx::query_scalar(READ).fetch_all(&pool).await.unwrap();
    assert_eq!(written, [1, 2, 2, 1]);
}

#[tokio::test]
async fn write_that_waits_for_one_with_a_higher_fence_is_refused() {
    let Some((_server, pool)) = postgres::start().await else {
        return;
    };
    sqlx::query(WRITTEN).execute(&pool).await.unwrap();
    write_postgres(&pool, "nightly", 1).await.unwrap();
    let mut successor = pool.begin().await.unwrap();
    fence_postgres(&mut successor, "nightly", 2).await.unwrap();
    let mut stopped = JoinSet::new();
    let same = pool.clone();
    stopped.spawn(async move { write_postgres(&same, "nightly", 1).await });
    postgres::until(
        &pool,
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')",
    )
    .await;
    successor.commit().await.unwrap();
    assert_refused(stopped.join_next().await.unwrap().unwrap());
}
