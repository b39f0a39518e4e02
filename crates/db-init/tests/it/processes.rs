//! Real processes that migrate one new SQLite file: at once, or killed in the middle.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use steadfast_db_init::{Backend, Database, MigrationSet, SqliteBackend, SqliteOptions};

use crate::notes;

/// In the environment of a process that is one of the eight: the file.
const FILE: &str = "STEADFAST_DB_INIT_FILE";
const PROCESSES: usize = 8;
const ROUNDS: usize = 10;

#[test]
fn eight_processes_migrate_a_new_file_exactly_once() {
    if let Some(file) = std::env::var_os(FILE) {
        return migrate(file.into());
    }
    for round in 0..ROUNDS {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("new.db");
        let name = "processes::eight_processes_migrate_a_new_file_exactly_once";
        let mut children: Vec<Child> = (0..PROCESSES).map(|_| spawn(name, &file)).collect();
        // All stand at the start; then all are let go.
        let mut outputs: Vec<_> = children
            .iter_mut()
            .map(|child| BufReader::new(child.stdout.take().unwrap()).lines())
            .collect();
        for output in &mut outputs {
            assert!(output.any(|line| line.unwrap().ends_with("READY")));
        }
        for child in &mut children {
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        }
        let mut applied = 0;
        for (child, output) in children.iter_mut().zip(outputs) {
            for line in output.map_while(Result::ok) {
                if let Some(count) = line.strip_prefix("APPLIED ") {
                    applied += count.parse::<usize>().unwrap();
                }
            }
            assert!(child.wait().unwrap().success(), "round {round}");
        }
        assert_eq!(applied, PROCESSES, "each process sees the one row");
    }
}

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
        let database = database(file.as_ref(), "killed", KILLED);
        panic!("it ended: {:?}", database.initialize().await.map(drop));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new.db");
    let name = "processes::process_killed_between_migrations_leaves_none_and_the_next_applies_all";
    let mut child = spawn(name, &file);
    second_at_work(&mut child, &directory.path().join("new.db-wal")).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let backend = SqliteBackend::new(&file, SqliteOptions::default()).unwrap();
    let set = MigrationSet::new().add("killed", KILLED).unwrap();
    assert_eq!(backend.pending(&set).await.unwrap().len(), 2);
    let pools = backend.connect().await.unwrap();
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&pools.reader)
        .await
        .unwrap();
    assert_eq!(tables, 0, "a part of the migrations is there");
    backend.close(&pools).await;

    let database = database(&file, "notes", crate::NOTES);
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

fn database(
    file: &Path,
    owner: &'static str,
    migrations: &'static [(u32, &str, &str)],
) -> Database<SqliteBackend> {
    let backend = SqliteBackend::new(file, SqliteOptions::default()).unwrap();
    let set = MigrationSet::new().add(owner, migrations).unwrap();
    Database::builder(backend).migrations(set).build().unwrap()
}

/// Runs the test `name` in a process of its own, which finds `file` in its environment.
fn spawn(name: &str, file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FILE, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// One process: initialises when it is told to, and prints how many rows the second migration
/// has inserted.
fn migrate(file: PathBuf) {
    println!("READY");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let backend = SqliteBackend::new(file, SqliteOptions::default()).unwrap();
        assert!(backend.pending(&notes()).await.is_ok());
        let database = Database::builder(backend)
            .migrations(notes())
            .max_attempts(1);
        let database = database.build().unwrap();
        let pools = database.initialize().await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note")
            .fetch_one(&pools.reader)
            .await
            .unwrap();
        println!("\nAPPLIED {count}");
        drop(pools);
        assert!(
            database
                .close(std::time::Duration::from_secs(10))
                .await
                .complete
        );
    });
}
