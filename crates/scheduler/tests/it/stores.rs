//! Every store passes the conformance suite.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use steadfast_scheduler::{MIGRATIONS, MemoryJobStore, SqliteJobStore, conformance};

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
    sqlite_pool_at(&folder.path().join("scheduler.db"), connections).await
}

pub(crate) async fn sqlite_pool_at(file: &Path, connections: u32) -> SqlitePool {
    let url = format!("sqlite://{}", file.display());
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
