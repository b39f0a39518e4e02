//! Every store passes the conformance suite.

use std::{str::FromStr, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use steadfast_scheduler::{
    ClaimRequest, Dialect, Job, JobStore, MIGRATIONS, MemoryJobStore, Spec, SqliteJobStore,
    conformance,
};

/// A pool on a new file with the scheduler's tables; the file is deleted with the directory.
pub(crate) async fn sqlite_pool(connections: u32) -> (SqlitePool, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let pool = sqlite_pool_in(&folder, connections).await;
    for (_, sqlite, _) in MIGRATIONS {
        sqlx::raw_sql(*sqlite).execute(&pool).await.unwrap();
    }
    (pool, folder)
}

pub(crate) async fn sqlite_pool_in(folder: &tempfile::TempDir, connections: u32) -> SqlitePool {
    let url = format!("sqlite://{}/scheduler.db", folder.path().display());
    let options = SqliteConnectOptions::from_str(&url)
        .unwrap()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5));
    SqlitePoolOptions::new()
        .max_connections(connections)
        .connect_with(options)
        .await
        .unwrap()
}

#[tokio::test]
async fn memory_store_conforms() {
    conformance::check_all(Arc::new(MemoryJobStore::new())).await;
}

#[tokio::test]
async fn sqlite_store_conforms() {
    let (pool, _folder) = sqlite_pool(4).await;
    conformance::check_all(Arc::new(SqliteJobStore::new(pool))).await;
}

#[tokio::test]
async fn unreadable_sqlite_row_is_set_aside_and_mended_by_an_upsert() {
    let (pool, _folder) = sqlite_pool(2).await;
    let store = SqliteJobStore::new(pool.clone());
    let start: Timestamp = "2030-01-01T00:30:00Z".parse().unwrap();
    let due: Timestamp = "2030-01-01T01:00:00Z".parse().unwrap();
    let hourly = |key: &str| {
        let spec = Spec::parse("@hourly", Dialect::Posix5).unwrap();
        Job::new(key, spec, TimeZone::UTC)
    };
    for key in ["good", "bad"] {
        store.upsert("ns", &hourly(key), start).await.unwrap();
    }
    sqlx::query("UPDATE sched_job SET spec = 'nonsense' WHERE key = 'bad'")
        .execute(&pool)
        .await
        .unwrap();

    let request = ClaimRequest {
        namespace: "ns".into(),
        owner: "a".into(),
        now: due,
        lease_until: due + Duration::from_secs(10),
        grace: Duration::from_secs(60),
        limit: 10,
    };
    let claimed = store.claim_due(&request).await.unwrap();
    assert_eq!(claimed.runs.len(), 1);
    assert_eq!(claimed.runs[0].id.key.as_str(), "good");
    assert!(store.status("ns", &"bad".into(), due).await.is_err());

    store.upsert("ns", &hourly("bad"), start).await.unwrap();
    assert_eq!(store.claim_due(&request).await.unwrap().runs.len(), 1);
}
