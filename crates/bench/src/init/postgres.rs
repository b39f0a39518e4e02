//! Postgres: all that an initialisation does, next to what sqlx does by itself.

use std::{error::Error, rc::Rc, time::Duration};

use sqlx::{PgPool, postgres::PgPoolOptions};
use steadfast_db_init::{Database, MigrationSet, PostgresBackend, PostgresOptions};
use steadfast_testkit::PrivatePostgres;
use tokio::runtime::{Builder, Runtime};

use super::{MIGRATIONS, POSTGRES, sqlx_migrator};
use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::timed,
};

const NOTE: &str = "Ours connects three times (to learn the true cause of a failure, for the \
     pool's first connection, for the migrations); sqlx once. The server is private, on the same \
     machine, and does not wait for the disk.";

pub(super) fn new_database() -> Result<Case, Box<dyn Error>> {
    let server = Rc::new(Server::start()?);
    let sqlx = opened(
        &server,
        versioned("sqlx") + " pool and Migrator",
        sqlxs,
        false,
    );
    let case =
        Case::new(opened(&server, "steadfast-db-init", ours, false)).against(sqlx.at_most(1.02));
    Ok(case.sampled(Sampling::SINGLE).note(NOTE))
}

pub(super) fn up_to_date() -> Result<Case, Box<dyn Error>> {
    let server = Rc::new(Server::start()?);
    let sqlx = opened(
        &server,
        versioned("sqlx") + " pool and Migrator",
        sqlxs,
        true,
    );
    let case = Case::new(opened(&server, "steadfast-db-init", ours, true)).against(sqlx);
    Ok(case.sampled(Sampling::SINGLE))
}

/// Connects to the database at the URL, and closes it.
type Open = fn(&Runtime, &str) -> Result<(), Box<dyn Error>>;

struct Server {
    runtime: Runtime,
    postgres: PrivatePostgres,
    admin: PgPool,
}

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let postgres = runtime.block_on(PrivatePostgres::start())?;
        let admin = runtime.block_on(
            PgPoolOptions::new()
                .max_connections(1)
                .connect(&postgres.database_url("postgres")),
        )?;
        Ok(Self {
            runtime,
            postgres,
            admin,
        })
    }

    fn fresh(&self) -> String {
        let statements = "DROP DATABASE IF EXISTS bench WITH (FORCE); CREATE DATABASE bench";
        for statement in statements.split("; ") {
            let done = sqlx::raw_sql(statement).execute(&self.admin);
            self.runtime.block_on(done).expect("a new database");
        }
        self.postgres.database_url("bench")
    }
}

/// One opening a sample: of a new database, or of one that was opened before.
fn opened(server: &Rc<Server>, name: impl Into<String>, open: Open, again: bool) -> Contender {
    let server = Rc::clone(server);
    let sampler = move |openings: u64| {
        let mut took = Duration::ZERO;
        for _ in 0..openings {
            let url = server.fresh();
            if again {
                open(&server.runtime, &url).expect("a new database opens");
            }
            took += timed(|| open(&server.runtime, &url).expect("the database opens"));
        }
        took
    };
    Contender::new(name, Box::new(sampler))
        .threaded()
        .exactly(1)
}

fn ours(runtime: &Runtime, url: &str) -> Result<(), Box<dyn Error>> {
    let backend = PostgresBackend::new(url, PostgresOptions::default())?;
    let migrations = MigrationSet::new().add("bench", MIGRATIONS)?;
    let database = Database::builder(backend).migrations(migrations).build()?;
    runtime.block_on(async {
        database.initialize().await?;
        database.close(Duration::from_secs(5)).await;
        Ok(())
    })
}

fn sqlxs(runtime: &Runtime, url: &str) -> Result<(), Box<dyn Error>> {
    runtime.block_on(async {
        let pool = PgPoolOptions::new().connect(url).await?;
        sqlx_migrator(POSTGRES).run(&pool).await?;
        pool.close().await;
        Ok(())
    })
}
