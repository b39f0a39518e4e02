//! Real processes that migrate one new SQLite file at once.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use steadfast_db_init::{Backend, Database, SqliteBackend, SqliteOptions};

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
        let mut children: Vec<Child> = (0..PROCESSES).map(|_| spawn(&file)).collect();
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

fn spawn(file: &std::path::Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "processes::eight_processes_migrate_a_new_file_exactly_once",
            "--nocapture",
        ])
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
