//! `init`: `steadfast-db-init`, `steadfast-lifecycle` and `steadfast-lease` against sqlx by itself
//! and calls by hand.

use crate::{Cases, Measure::Times};

mod leases;
mod postgres;
mod ready;
mod services;
mod sqlite;

pub(crate) const CASES: Cases = &[
    ("database, get, ready", Times(ready::get)),
    ("database, ensure_initialized, ready", Times(ready::ensure)),
    (
        "connect, 30 migrations and close, new SQLite file",
        Times(sqlite::new_file),
    ),
    (
        "connect, nothing to migrate, close, SQLite file",
        Times(sqlite::up_to_date),
    ),
    (
        "connect, 30 migrations and close, new Postgres database",
        Times(postgres::new_database),
    ),
    (
        "connect, nothing to migrate, close, Postgres database",
        Times(postgres::up_to_date),
    ),
    (
        "lifecycle, start and stop, by the number of services",
        Times(services::start_and_stop),
    ),
    ("lease, acquire and release, SQLite", Times(leases::sqlite)),
    (
        "lease, acquire and release, Postgres",
        Times(leases::postgres),
    ),
    ("lease, acquire and release, Redis", Times(leases::redis)),
];

/// Thirty migrations of four statements: about what an application has.
const MIGRATIONS: &[(u32, &str, &str)] = &{
    let mut all = [(0, SQLITE, POSTGRES); 30];
    let mut index = 0;
    while index < all.len() {
        all[index].0 = index as u32 + 1;
        index += 1;
    }
    all
};

/// Each migration leaves the schema as it found it, so that all can have the same text.
const SQLITE: &str = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE INDEX note_text ON note (text);
    INSERT INTO note (text) VALUES ('first');
    DROP TABLE note";
const POSTGRES: &str = "CREATE TABLE note (id bigint PRIMARY KEY, text text NOT NULL);
    CREATE INDEX note_text ON note (text);
    INSERT INTO note VALUES (1, 'first');
    DROP TABLE note";

/// The same migrations for sqlx's own migrator.
fn sqlx_migrator(sql: &'static str) -> sqlx::migrate::Migrator {
    use sqlx::{
        SqlSafeStr as _,
        migrate::{Migration, MigrationType},
    };

    let migration = |version| {
        let (name, kind) = ("note".into(), MigrationType::Simple);
        Migration::new(version, name, kind, sql.into_sql_str(), false)
    };
    sqlx::migrate::Migrator::with_migrations((1..=MIGRATIONS.len() as i64).map(migration).collect())
}
