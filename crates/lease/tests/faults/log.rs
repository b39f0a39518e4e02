//! What leased work writes: one row a write, with the fence that it was done under.

use std::path::Path;

use sqlx::{
    PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use steadfast_lease::{FenceError, MIGRATIONS, fence_postgres, fence_sqlite};

use crate::{KEY, TTL};

/// Whether a write compares its fence with those seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Fenced,
    /// As one would who trusts the lease alone.
    Unfenced,
}

/// A database with the table of the writes and those of the crate.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// What became of a write that the database did not take.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A higher fence has written.
    Refused,
    /// The database could not be asked, or its answer did not come: it may have been done.
    Unknown,
}

impl Log {
    /// The log at a `postgres://` URL or in a file.
    pub(crate) async fn at(database: &str) -> Self {
        if database.starts_with("postgres://") {
            Self::postgres(database)
        } else {
            Self::sqlite(Path::new(database)).await
        }
    }

    /// The log in the file at `path`, whose tables are there.
    pub(crate) async fn sqlite(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePoolOptions::new().max_connections(2);
        Self::Sqlite(pool.connect_with(options).await.unwrap())
    }

    /// The log in the database at `url`, whose tables are there; connections are made when they
    /// are needed.
    pub(crate) fn postgres(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let pool = PgPoolOptions::new().max_connections(3).acquire_timeout(TTL);
        Self::Postgres(pool.connect_lazy_with(options))
    }

    pub(crate) async fn create_tables(&self) {
        match self {
            Self::Sqlite(pool) => {
                let own = "CREATE TABLE log (id INTEGER PRIMARY KEY, fence INTEGER NOT NULL);
                           CREATE TABLE note (text TEXT NOT NULL)";
                for sql in MIGRATIONS.iter().map(|it| it.1).chain([own]) {
                    sqlx::raw_sql(sql).execute(pool).await.unwrap();
                }
            }
            Self::Postgres(pool) => {
                let own = "CREATE TABLE log (id bigserial PRIMARY KEY, fence bigint NOT NULL);
                           CREATE TABLE note (text text NOT NULL)";
                for sql in MIGRATIONS.iter().map(|it| it.2).chain([own]) {
                    sqlx::raw_sql(sql).execute(pool).await.unwrap();
                }
            }
        }
    }

    /// One write under `fence`.
    pub(crate) async fn write(&self, writes: Writes, fence: u64) -> Result<(), Failed> {
        let insert = "INSERT INTO log (fence) VALUES ($1)";
        let number = i64::try_from(fence).unwrap();
        match self {
            Self::Sqlite(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                if writes == Writes::Fenced {
                    fence_sqlite(&mut transaction, KEY, fence).await?;
                }
                let insert = sqlx::query(insert).bind(number);
                insert.execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                if writes == Writes::Fenced {
                    fence_postgres(&mut transaction, KEY, fence).await?;
                }
                let insert = sqlx::query(insert).bind(number);
                insert.execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// The fences of all writes, in the order in which they were done.
    pub(crate) async fn fences(&self) -> Vec<i64> {
        let select = "SELECT fence FROM log ORDER BY id";
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(select).fetch_all(pool).await.unwrap(),
            Self::Postgres(pool) => sqlx::query_scalar(select).fetch_all(pool).await.unwrap(),
        }
    }

    /// What should not have been seen.
    pub(crate) async fn note(&self, text: &str) {
        let insert = "INSERT INTO note (text) VALUES ($1)";
        let noted = match self {
            Self::Sqlite(pool) => sqlx::query(insert).bind(text).execute(pool).await.map(drop),
            Self::Postgres(pool) => sqlx::query(insert).bind(text).execute(pool).await.map(drop),
        };
        noted.unwrap();
    }

    pub(crate) async fn notes(&self) -> Vec<String> {
        let select = "SELECT text FROM note";
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(select).fetch_all(pool).await.unwrap(),
            Self::Postgres(pool) => sqlx::query_scalar(select).fetch_all(pool).await.unwrap(),
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(_: sqlx::Error) -> Self {
        Self::Unknown
    }
}

impl From<FenceError> for Failed {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Refused { .. } => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// The first place at which a holder wrote after its successor had.
pub(crate) fn overlap(fences: &[i64]) -> Option<usize> {
    fences.windows(2).position(|pair| pair[0] > pair[1])
}
