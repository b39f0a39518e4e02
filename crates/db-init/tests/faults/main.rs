//! The initialisation by real processes that are killed, on SQLite files and private Postgres
//! servers. Run by `cargo xtask test db-init --faults`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crowd;
mod killed_midway;

use steadfast_db_init::{Database, MigrationSet, SqliteBackend, SqliteOptions};

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
