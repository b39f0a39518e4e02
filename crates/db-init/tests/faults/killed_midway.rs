//! A process that is killed between two migrations, before either is in the ledger.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use steadfast_db_init::{Backend, SqliteBackend, SqliteOptions};

use crate::{NOTES, set, sqlite};

/// In the environment of the process that is killed: the file.
const FILE: &str = "STEADFAST_DB_INIT_FILE";
/// Eleven megabytes, most of which SQLite writes to the log before the commit.
const FILL: &str = "CREATE TABLE big (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO big SELECT i, printf('%0500d', i) FROM n";
/// Twice as much again, and then it takes longer than the test.
const ENDLESS: &str = "CREATE TABLE copy AS SELECT * FROM big UNION ALL SELECT * FROM big;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
    INSERT INTO copy SELECT max(i), '' FROM n";
/// What the log holds only when the second migration is at work.
const SECOND_AT_WORK: u64 = 14_000_000;
const KILLED: &[(u32, &str, &str)] = &[(1, FILL, "SELECT 1"), (2, ENDLESS, "SELECT 1")];

#[tokio::test]
async fn process_killed_between_migrations_leaves_none_and_the_next_applies_all() {
    if let Some(file) = std::env::var_os(FILE) {
        let database = sqlite(file.as_ref(), "killed", KILLED);
        panic!("it ended: {:?}", database.initialize().await.map(drop));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new.db");
    let name =
        "killed_midway::process_killed_between_migrations_leaves_none_and_the_next_applies_all";
    let mut child = spawn(name, &file);
    second_at_work(&mut child, &directory.path().join("new.db-wal")).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let backend = SqliteBackend::new(&file, SqliteOptions::default()).unwrap();
    let killed = set("killed", KILLED);
    assert_eq!(backend.pending(&killed).await.unwrap().len(), 2);
    let pools = backend.connect().await.unwrap();
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&pools.reader)
        .await
        .unwrap();
    assert_eq!(tables, 0, "a part of the migrations is there");
    backend.close(&pools).await;

    let database = sqlite(&file, "notes", NOTES);
    let pools = database.initialize().await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note")
        .fetch_one(&pools.reader)
        .await
        .unwrap();
    assert_eq!(count, 1);
    assert!(database.close(Duration::from_secs(10)).await.complete);
}

/// Waits until the log holds more than the first migration makes.
async fn second_at_work(child: &mut Child, log: &Path) {
    while std::fs::metadata(log).map_or(0, |log| log.len()) < SECOND_AT_WORK {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs the test `name` in a process of its own, which finds `file` in its environment.
fn spawn(name: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
