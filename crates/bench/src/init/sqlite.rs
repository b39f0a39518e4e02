//! SQLite: all that an initialisation does, next to what sqlx does by itself.

use std::{error::Error, io, path::Path, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use steadfast_db_init::{Database, MigrationSet, SqliteBackend, SqliteOptions};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{MIGRATIONS, SQLITE, sqlx_migrator};
use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::timed,
};

const NOTE: &str = "Ours opens the file three times (to make it a WAL database, as writer, as reader) and \
     reads through each; sqlx's pool opens it once. Each file is new, in a folder of its own.";

pub(super) fn new_file() -> Result<Case, Box<dyn Error>> {
    let case = Case::new(opened("steadfast-db-init", ours, false)?)
        .against(opened(versioned("sqlx") + " pool and Migrator", sqlxs, false)?.at_most(1.02));
    Ok(case.sampled(Sampling::SINGLE).note(NOTE))
}

pub(super) fn up_to_date() -> Result<Case, Box<dyn Error>> {
    let case = Case::new(opened("steadfast-db-init", ours, true)?).against(opened(
        versioned("sqlx") + " pool and Migrator",
        sqlxs,
        true,
    )?);
    Ok(case.sampled(Sampling::SINGLE))
}

/// Opens the file at the path, and closes it.
type Open = fn(&Runtime, &Path) -> Result<(), Box<dyn Error>>;

/// One opening a sample: of a new file, or of one that was opened before.
fn opened(name: impl Into<String>, open: Open, again: bool) -> io::Result<Contender> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let sampler = move |openings: u64| {
        let mut took = Duration::ZERO;
        for _ in 0..openings {
            let folder = TempDir::new().expect("a temporary folder");
            let file = folder.path().join("new.db");
            if again {
                open(&runtime, &file).expect("a new file opens");
            }
            took += timed(|| open(&runtime, &file).expect("the file opens"));
        }
        took
    };
    Ok(Contender::new(name, Box::new(sampler))
        .threaded()
        .exactly(1))
}

fn ours(runtime: &Runtime, file: &Path) -> Result<(), Box<dyn Error>> {
    let backend = SqliteBackend::new(file, SqliteOptions::default())?;
    let migrations = MigrationSet::new().add("bench", MIGRATIONS)?;
    let database = Database::builder(backend).migrations(migrations).build()?;
    runtime.block_on(async {
        database.initialize().await?;
        database.close(Duration::from_secs(5)).await;
        Ok(())
    })
}

fn sqlxs(runtime: &Runtime, file: &Path) -> Result<(), Box<dyn Error>> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    runtime.block_on(async {
        let pool: SqlitePool = SqlitePoolOptions::new().connect_with(options).await?;
        sqlx_migrator(SQLITE).run(&pool).await?;
        pool.close().await;
        Ok(())
    })
}
