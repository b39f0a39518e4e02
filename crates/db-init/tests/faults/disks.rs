//! Disks that are full or read-only.

use std::{error::Error, path::Path, process::Command, time::Duration};

use sqlx::PgPool;
use steadfast_db_init::{
    AttemptError, Class, Database, InitError, MigrationError, PostgresBackend, PostgresOptions,
};
use steadfast_testkit::{PrivatePostgres, SmallDisk, server_or_skip};

use crate::{NOTES, chain, set, sqlite};

const MB: u64 = 1024 * 1024;
const CLOSE: Duration = Duration::from_secs(30);
/// Four megabytes.
const BIG: &[(u32, &str, &str)] = &[
    NOTES[0],
    NOTES[1],
    (
        3,
        "CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 4000) SELECT i, printf('%01000d', i) AS text FROM n",
        "CREATE TABLE big AS SELECT i, repeat('x', 1000) AS text FROM generate_series(1, 4000) i",
    ),
];

/// Takes space on a disk until it is dropped.
struct Ballast(std::path::PathBuf);

impl Ballast {
    /// Leaves so many bytes.
    fn leave(disk: &SmallDisk, bytes: u64) -> Self {
        let path = disk.path().join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        // Until the disk is full, and then back.
        let mut size = 0;
        while let Ok(written) = std::io::Write::write(&mut file, &[0; 4096]) {
            size += written as u64;
        }
        file.set_len(size.checked_sub(bytes).unwrap()).unwrap();
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// SQLite's or Postgres's own code somewhere in the chain.
fn code(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let database = error.downcast_ref::<Box<dyn sqlx::error::DatabaseError>>();
        if let Some(database) = database {
            return database.code().map(Into::into);
        }
        cause = error.source();
    }
    None
}

async fn tables(file: &Path) -> i64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema");
    let tables = tables.fetch_one(&pool).await.unwrap();
    pool.close().await;
    tables
}

#[tokio::test]
async fn sqlite_on_a_disk_that_fills_up_applies_nothing_and_works_when_there_is_space() {
    let Some(disk) = server_or_skip(SmallDisk::mount(16 * MB)) else {
        return;
    };
    let file = disk.path().join("app.db");
    let ballast = Ballast::leave(&disk, 2 * MB);
    let database = sqlite(&file, "notes", BIG);
    let error = database.initialize().await.map(drop).unwrap_err();
    let text = chain(&*error);
    let InitError::Migration { source } = &*error else {
        panic!("{text}");
    };
    assert_eq!(source.class(), Class::Permanent);
    assert_eq!(code(&*error).as_deref(), Some("13"), "{text}");
    let expected = format!("`{}` refused", file.display());
    assert!(text.contains(&expected), "{text}");
    let expected = "; free space on the disk under the file: (code: 13) database or disk is full";
    assert!(text.contains(expected), "{text}");
    assert_eq!(tables(&file).await, 0, "a part of the migrations is there");

    drop(ballast);
    let pools = database.initialize().await.unwrap();
    let notes = sqlx::query_scalar("SELECT count(*) FROM note");
    let notes: i64 = notes.fetch_one(&pools.reader).await.unwrap();
    assert_eq!(notes, 1);
    assert_eq!(database.pending().await.unwrap(), []);
    drop(pools);
    assert!(database.close(CLOSE).await.complete);
}

#[tokio::test]
async fn sqlite_on_a_disk_without_any_space_says_so_and_works_when_there_is() {
    let Some(disk) = server_or_skip(SmallDisk::mount(16 * MB)) else {
        return;
    };
    for left in [0, 1, 2, 8] {
        let file = disk.path().join(format!("app{left}.db"));
        let ballast = Ballast::leave(&disk, left * 4096);
        let database = sqlite(&file, "notes", NOTES);
        let error = database.initialize().await.map(drop).unwrap_err();
        let text = chain(&*error);
        assert!(text.contains(&format!("`{}`", file.display())), "{text}");
        let remedies = [
            "; free space on the disk under the file: (code: 13)",
            "; check whether the disk under the file is full or broken, and the system's log: \
             (code: 4874)",
        ];
        let expected = remedies.iter().any(|remedy| text.contains(remedy));
        assert!(expected, "{left} pages left: {text}");

        drop(ballast);
        let pools = database.initialize().await.unwrap();
        drop(pools);
        assert_eq!(database.pending().await.unwrap(), []);
        assert!(database.close(CLOSE).await.complete);
    }
}

#[tokio::test]
async fn sqlite_on_a_disk_that_turned_read_only_says_so_and_works_when_it_is_writable() {
    let Some(disk) = server_or_skip(SmallDisk::mount(16 * MB)) else {
        return;
    };
    let old = disk.path().join("app.db");
    let database = sqlite(&old, "notes", NOTES);
    database.initialize().await.unwrap();
    // As a process leaves it that was killed: with the log, SQLite can read it on a read-only disk.
    // Not by this process: whoever closes a file gives up SQLite's locks on it.
    for suffix in ["", "-wal", "-shm"] {
        let copy = Command::new("cp")
            .arg(disk.path().join(format!("app.db{suffix}")))
            .arg(disk.path().join(format!("killed.db{suffix}")))
            .status();
        assert!(copy.unwrap().success());
    }
    assert!(database.close(CLOSE).await.complete);

    disk.remount_read_only().unwrap();
    for name in ["app.db", "new.db"] {
        let file = disk.path().join(name);
        let database = sqlite(&file, "notes", NOTES);
        let error = database.initialize().await.map(drop).unwrap_err();
        let text = chain(&*error);
        let permanent = matches!(*error, InitError::Permanent { .. });
        assert!(permanent, "{text}");
        let expected = format!(
            "cannot open SQLite database `{}`; mount its file system for writing, or give a path \
             on another one: ",
            file.display()
        );
        assert!(text.contains(&expected), "{text}");
    }
    let killed = sqlite(&disk.path().join("killed.db"), "notes", NOTES);
    let error = killed.initialize().await.map(drop).unwrap_err();
    let text = chain(&*error);
    assert!(matches!(*error, InitError::Migration { .. }), "{text}");
    let expected = "; make the file, its directory and its file system writable for the user of \
        this process: (code: 8) attempt to write a readonly database";
    assert!(text.contains(expected), "{text}");

    disk.remount_writable().unwrap();
    killed.initialize().await.unwrap();
    assert!(killed.close(CLOSE).await.complete);
    database.initialize().await.unwrap();
    assert!(database.close(CLOSE).await.complete);
}

#[tokio::test]
async fn postgres_on_a_disk_that_fills_up_applies_nothing_and_works_when_there_is_space() {
    let Some(disk) = server_or_skip(SmallDisk::mount(96 * MB)) else {
        return;
    };
    // What fills the disk is to be the table, and not the log: a server that cannot write its log
    // dies.
    let server = PrivatePostgres::builder()
        .setting("wal_level", "minimal")
        .setting("max_wal_senders", "0")
        .setting("wal_skip_threshold", "0")
        .on(&disk);
    let Some(server) = server_or_skip(server.start().await) else {
        return;
    };
    let backend = PostgresBackend::new(&server.url(), PostgresOptions::default()).unwrap();
    let database = Database::builder(backend).migrations(set("notes", BIG));
    let database = database.build().unwrap();
    let ballast = Ballast::leave(&disk, 2 * MB);
    let error = database.initialize().await.map(drop).unwrap_err();
    let text = chain(&*error);
    let InitError::Exhausted { attempts: 2, last } = &*error else {
        panic!("{text}");
    };
    assert!(matches!(
        last,
        AttemptError::Migrate(MigrationError::Apply { .. })
    ));
    assert_eq!(code(&*error).as_deref(), Some("53100"), "{text}");
    let expected = format!(
        "postgres at 127.0.0.1:{} refused its SQL; free space on the server's disk: ",
        server.port()
    );
    assert!(text.contains(&expected), "{text}");
    let pool = PgPool::connect(&server.url()).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&pool).await.unwrap();
    assert_eq!(tables, 0, "a part of the migrations is there");

    drop(ballast);
    database.initialize().await.unwrap();
    let notes = sqlx::query_scalar("SELECT count(*) FROM note");
    let notes: i64 = notes.fetch_one(&pool).await.unwrap();
    assert_eq!(notes, 1);
    assert_eq!(database.pending().await.unwrap(), []);
}
