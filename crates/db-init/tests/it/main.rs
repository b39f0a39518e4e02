//! The initialisation on fakes, mocks, SQLite files and private Postgres servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alerts;
mod classification;
mod close;
mod example;
mod gated;
mod joining;
mod leaks;
mod mocked;
mod overlap;
mod postgres;
mod remedies;
mod retrying;
mod silence;
mod specimens;
mod sqlite;
mod storm;
mod work;

use steadfast_db_init::MigrationSet;

const NOTES: &[(u32, &str, &str)] = &[
    (
        1,
        "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
        "CREATE TABLE note (id bigint PRIMARY KEY, text text NOT NULL)",
    ),
    (
        2,
        "INSERT INTO note VALUES (1, 'first')",
        "INSERT INTO note VALUES (1, 'first')",
    ),
];

fn notes() -> MigrationSet {
    MigrationSet::new().add("notes", NOTES).unwrap()
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
