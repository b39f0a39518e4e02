use std::{path::Path, time::Duration};

use async_trait::async_trait;
use sqlx::{Connection, Sqlite, pool::PoolConnection};
use steadfast_db_init::{
    Backend, Class, Database, SqliteBackend, SqliteOptions, SqlitePools, classify_sqlite,
    conformance,
};
use tempfile::TempDir;

use crate::{chain, notes};

fn backend(path: &Path) -> SqliteBackend {
    SqliteBackend::new(path, SqliteOptions::default()).unwrap()
}

/// A place for files that lasts as long as the value.
struct Files(TempDir, std::sync::atomic::AtomicU32);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), 0.into())
    }
}

#[async_trait]
impl conformance::Fixture for Files {
    type Backend = SqliteBackend;
    type Connection = PoolConnection<Sqlite>;

    async fn fresh(&self) -> SqliteBackend {
        let number = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        backend(&self.0.path().join(format!("{number}.db")))
    }

    async fn checkout(&self, pools: &SqlitePools) -> PoolConnection<Sqlite> {
        pools.reader.acquire().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_backend_conforms() {
    conformance::all(&Files::new()).await;
}

#[tokio::test]
async fn pools_are_set_up_as_documented() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory.path().join("app.db"));
    let pools = backend.connect().await.unwrap();
    for (pool, query_only) in [(&pools.writer, 0), (&pools.reader, 1)] {
        let pragma = async |name: &'static str| -> i64 {
            sqlx::query_scalar(name).fetch_one(pool).await.unwrap()
        };
        assert_eq!(pragma("PRAGMA query_only").await, query_only);
        assert_eq!(pragma("PRAGMA foreign_keys").await, 1);
        assert_eq!(pragma("PRAGMA busy_timeout").await, 5000);
        assert_eq!(pragma("PRAGMA synchronous").await, 2);
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(journal, "wal");
    }
    assert_eq!(backend.stats(&pools).max, 5);
    let write = sqlx::query("CREATE TABLE x (y)")
        .execute(&pools.reader)
        .await;
    assert!(write.is_err(), "a reader wrote");
    backend.close(&pools).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_queue_and_none_fails_busy() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::builder(backend(&directory.path().join("app.db")));
    let database = database.migrations(notes()).build().unwrap();
    let pools = database.initialize().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let pools = pools.clone();
        writers.spawn(async move {
            let mut transaction = pools.begin_write().await.unwrap();
            let next: i64 = sqlx::query_scalar("SELECT max(id) + 1 FROM note")
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            sqlx::query("INSERT INTO note VALUES (?, 'x')")
                .bind(next)
                .execute(&mut *transaction)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        });
    }
    writers.join_all().await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note")
        .fetch_one(&pools.reader)
        .await
        .unwrap();
    assert_eq!(count, 51);
    let report = database.close(Duration::from_secs(10)).await;
    assert!(report.complete, "{report:?}");
    assert!(
        !directory.path().join("app.db-wal").exists(),
        "the log is in the file"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn log_is_in_the_file_after_close_though_connections_come_back_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let backend = backend(&directory.path().join("app.db"));
    for round in 0..30 {
        let pools = backend.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS x (y); INSERT INTO x VALUES (1)")
            .execute(&pools.writer)
            .await
            .unwrap();
        let read = "SELECT * FROM x";
        let reader = pools.reader.acquire().await.unwrap();
        let mut readers = vec![reader, pools.reader.acquire().await.unwrap()];
        for reader in &mut readers {
            sqlx::query(read).execute(&mut **reader).await.unwrap();
        }
        let writer = pools.writer.acquire().await.unwrap();
        tokio::join!(backend.close(&pools), async {
            pools.writer.close_event().await;
            drop((readers, writer));
        });
        let log = directory.path().join("app.db-wal");
        assert!(!log.exists(), "the log was left behind in round {round}");
    }
}

#[tokio::test]
async fn data_is_there_after_close_and_initialise() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::builder(backend(&directory.path().join("app.db")));
    let database = database.migrations(notes()).build().unwrap();
    for generation in 1..=3 {
        let pools = database.initialize().await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note")
            .fetch_one(&pools.reader)
            .await
            .unwrap();
        assert_eq!(count, 1, "the migrations ran once");
        assert_eq!(database.status().generation(), generation);
        drop(pools);
        assert!(database.close(Duration::from_secs(10)).await.complete);
    }
}

#[tokio::test]
async fn pending_does_not_create_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    assert_eq!(backend(&path).pending(&notes()).await.unwrap().len(), 2);
    assert!(!path.exists());
}

#[tokio::test]
async fn begin_write_takes_the_lock_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let hasty = SqliteOptions::default().busy_timeout(Duration::from_millis(1));
    let hasty = SqliteBackend::new(&path, hasty).unwrap();
    let (ours, other) = (backend(&path), hasty);
    let (ours, other) = (
        ours.connect().await.unwrap(),
        other.connect().await.unwrap(),
    );
    let transaction = ours.begin_write().await.unwrap();
    let refused = other.begin_write().await.map(drop).unwrap_err();
    assert_eq!(classify_sqlite(&refused), Class::Transient, "{refused}");
    transaction.rollback().await.unwrap();
    other.begin_write().await.unwrap().rollback().await.unwrap();
}

#[tokio::test]
async fn transaction_that_sqlite_rolls_back_by_itself_leaves_a_usable_writer() {
    let directory = tempfile::tempdir().unwrap();
    let pools = backend(&directory.path().join("app.db"))
        .connect()
        .await
        .unwrap();
    let run = async |sql: &'static str| {
        let mut transaction = pools.begin_write().await?;
        sqlx::query(sql).execute(&mut *transaction).await?;
        transaction.commit().await
    };
    run("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        .await
        .unwrap();
    run("INSERT INTO t VALUES (1)").await.unwrap();
    // As a full disk does: the statement fails, and the transaction is gone with it.
    run("INSERT OR ROLLBACK INTO t VALUES (1)")
        .await
        .unwrap_err();
    run("INSERT INTO t VALUES (2)").await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t")
        .fetch_one(&pools.reader)
        .await
        .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn file_locked_by_another_is_waited_for_and_then_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    // Not yet in WAL mode, and in somebody's hands.
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut holder = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    let lock = holder.begin_with("BEGIN EXCLUSIVE").await.unwrap();

    let hasty = SqliteOptions::default().busy_timeout(Duration::from_millis(10));
    let hasty = SqliteBackend::new(&path, hasty).unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), hasty.connect()).await;
    assert!(waiting.is_err(), "gave up at once: {waiting:?}");
    let error = hasty.connect().await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert!(chain(&error).contains(&path.display().to_string()));

    lock.rollback().await.unwrap();
    backend(&path).connect().await.unwrap();
}
