//! Leases in a SQLite file.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use steadfast_lease::{
    Fencing, LockBackend, MIGRATIONS, Scope, SqliteBackend, test_util::conformance,
};

use crate::support::SEC;

async fn open(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(1);
    pool.connect_with(options).await.expect("the file opens")
}

pub(crate) async fn create(path: &Path) -> SqlitePool {
    let pool = open(path).await;
    for (_, sqlite, _) in MIGRATIONS {
        let created = sqlx::raw_sql(*sqlite).execute(&pool).await;
        created.expect("a new file takes the tables");
    }
    pool
}

#[tokio::test]
async fn sqlite_backend_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::new(create(&directory.path().join("db")).await);
    assert_eq!(backend.guarantees().scope, Scope::Host);
    assert_eq!(backend.guarantees().fencing, Fencing::Monotonic);
    conformance::all(Arc::new(backend), "suite", SEC).await;
}

#[tokio::test]
async fn lease_and_fence_survive_a_restart_of_the_backend() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let mut pool = create(&path).await;
    for fence in 1..5 {
        let backend = SqliteBackend::new(pool.clone());
        let grant = backend.try_acquire("key", "a", 60 * SEC).await.unwrap();
        let grant = grant.unwrap();
        assert_eq!(grant.fence, fence);
        pool.close().await;
        pool = open(&path).await;
        let restarted = SqliteBackend::new(pool.clone());
        let other = restarted.try_acquire("key", "b", 60 * SEC).await.unwrap();
        assert_eq!(other, None);
        restarted.release(&grant).await.unwrap();
    }
}

#[tokio::test]
async fn another_backend_on_the_file_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let backend = SqliteBackend::new(create(&path).await);
    let another = SqliteBackend::new(open(&path).await);
    conformance::another_backend_goes_on(&backend, &another, "key", SEC / 5).await;
}

#[tokio::test]
async fn missing_table_is_a_permanent_error_that_names_table_and_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let backend = SqliteBackend::new(open(&path).await);
    let error = backend.try_acquire("key", "a", SEC).await.unwrap_err();
    assert!(!error.is_transient());
    let place = format!("table `lease_lock` of {}", path.display());
    assert!(error.to_string().contains(&place), "{error}");
}

#[tokio::test]
async fn file_that_is_locked_for_too_long_is_a_transient_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let blocker = create(&path).await;
    let _held = blocker.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .busy_timeout(Duration::from_millis(10));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let error = SqliteBackend::new(pool).try_acquire("key", "a", SEC).await;
    assert!(error.unwrap_err().is_transient());
}
