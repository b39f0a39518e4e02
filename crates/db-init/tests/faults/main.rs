//! The initialisation by real processes that are killed, and against private Postgres servers,
//! networks and disks that fail meanwhile. Run by `cargo xtask test db-init --faults`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crowd;
mod disks;
mod exhausted;
mod killed_midway;
mod proxied;
mod restarts;

use std::time::Duration;

use steadfast_db_init::{
    Database, MigrationSet, PostgresBackend, PostgresOptions, SqliteBackend, SqliteOptions, Status,
};
use steadfast_sync::CircuitBreaker;
use tokio::sync::watch;

/// Unlike a table that is made, a row that is inserted shows how often it was.
const NOTES: &[(u32, &str, &str)] = &[
    (
        1,
        "CREATE TABLE note (text TEXT NOT NULL) STRICT",
        "CREATE TABLE note (text text NOT NULL)",
    ),
    (
        2,
        "INSERT INTO note VALUES ('first')",
        "INSERT INTO note VALUES ('first')",
    ),
    (
        3,
        "CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 2000) SELECT i, printf('%0200d', i) AS text FROM n",
        "CREATE TABLE filler AS SELECT i, repeat('x', 200) AS text FROM generate_series(1, 2000) i",
    ),
];

fn set(owner: &'static str, migrations: &'static [(u32, &str, &str)]) -> MigrationSet {
    MigrationSet::new().add(owner, migrations).unwrap()
}

fn sqlite(
    file: &std::path::Path,
    owner: &'static str,
    migrations: &'static [(u32, &str, &str)],
) -> Database<SqliteBackend> {
    let backend = SqliteBackend::new(file, SqliteOptions::default()).unwrap();
    let builder = Database::builder(backend).migrations(set(owner, migrations));
    // An error that a retry would hide is an error.
    builder.max_attempts(1).build().unwrap()
}

/// A database that is tried often, so that it is soon there when its fault has passed.
fn persistent(
    url: &str,
    connect_timeout: Duration,
    migrations: &'static [(u32, &str, &str)],
) -> Database<PostgresBackend> {
    let options = PostgresOptions::default().connect_timeout(connect_timeout);
    let backend = PostgresBackend::new(url, options).unwrap();
    let patient = CircuitBreaker::builder().consecutive_failures(1_000);
    Database::builder(backend)
        .migrations(set("notes", migrations))
        .max_delay(Duration::from_millis(500))
        .max_attempts(1_000)
        .breaker(patient.build().unwrap())
        .build()
        .unwrap()
}

/// Lets real time pass for processes that cannot be paused, as the length of an outage.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Asks again and again until there is something; half a minute at most.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), asking).await;
    found.unwrap()
}

/// Waits until the database is there; half a minute at most.
async fn reaches(statuses: &mut watch::Receiver<Status>, there: impl FnMut(&Status) -> bool) {
    let reached = tokio::time::timeout(Duration::from_secs(30), statuses.wait_for(there)).await;
    let is_there = reached.is_ok();
    drop(reached);
    assert!(is_there, "it is still {}", *statuses.borrow());
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
