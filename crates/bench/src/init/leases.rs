//! Acquiring and releasing a lease that is free, next to the same statements by hand.

use std::{error::Error, rc::Rc, time::Duration};

use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use steadfast_lease::{LockBackend, MIGRATIONS, PostgresBackend, SqliteBackend};
use steadfast_testkit::PrivatePostgres;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::timed,
};

const TTL: Duration = Duration::from_secs(30);

pub(super) fn sqlite() -> Result<Case, Box<dyn Error>> {
    let runtime = Rc::new(runtime()?);
    let folder = Rc::new(TempDir::new()?);
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("leases.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool: SqlitePool = runtime.block_on(async {
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await?;
        for (_, sqlite, _) in MIGRATIONS {
            sqlx::raw_sql(*sqlite).execute(&pool).await?;
        }
        Ok::<_, sqlx::Error>(pool)
    })?;
    let ours = backend(&runtime, "SqliteBackend", SqliteBackend::new(pool.clone()));
    let by_hand = contender(
        &runtime,
        versioned("sqlx") + ", the same by hand",
        async move || {
            let _folder = &folder;
            const ACQUIRE: &str = "INSERT INTO lease_lock (boot, until_monotonic, until_wall, key, owner, ttl, fence, held)
             VALUES ('', ?1, ?2, 'by hand', 'bench', ?3, 1, TRUE)
             ON CONFLICT (key) DO UPDATE SET until_wall = excluded.until_wall,
               fence = fence + 1, held = TRUE
             WHERE NOT held RETURNING fence";
            let fence: i64 = sqlx::query_scalar(ACQUIRE)
                .bind(1_i64)
                .bind(2_i64)
                .bind(30_i64)
                .fetch_one(&pool)
                .await?;
            sqlx::query(
                "UPDATE lease_lock SET held = FALSE WHERE key = 'by hand' AND fence = ?1 AND held",
            )
            .bind(fence)
            .execute(&pool)
            .await?;
            Ok(())
        },
    );
    Ok(Case::new(ours).against(by_hand).sampled(Sampling::LONG))
}

pub(super) fn postgres() -> Result<Case, Box<dyn Error>> {
    let runtime = Rc::new(runtime()?);
    let server = Rc::new(runtime.block_on(PrivatePostgres::start())?);
    let pool: PgPool = runtime.block_on(async {
        let pool = PgPoolOptions::new().max_connections(1);
        let pool = pool.connect(&server.database_url("postgres")).await?;
        for (_, _, postgres) in MIGRATIONS {
            sqlx::raw_sql(*postgres).execute(&pool).await?;
        }
        Ok::<_, sqlx::Error>(pool)
    })?;
    let ours = backend(
        &runtime,
        "PostgresBackend",
        PostgresBackend::new(pool.clone()),
    );
    let by_hand = contender(
        &runtime,
        versioned("sqlx") + ", the same by hand",
        async move || {
            let _server = &server;
            const ACQUIRE: &str = "INSERT INTO lease_lock AS lease (key, owner, fence, expires_at)
             VALUES ('by hand', $1, 1, clock_timestamp() + $2 * interval '1 microsecond')
             ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, fence = lease.fence + 1,
               expires_at = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE lease.expires_at <= clock_timestamp()
             RETURNING fence";
            let fence: i64 = sqlx::query_scalar(ACQUIRE)
                .bind("bench")
                .bind(30_000_000_i64)
                .fetch_one(&pool)
                .await?;
            sqlx::query("UPDATE lease_lock SET expires_at = '-infinity' WHERE key = 'by hand' AND fence = $1")
            .bind(fence)
            .execute(&pool)
            .await?;
            Ok(())
        },
    );
    Ok(Case::new(ours)
        .against(by_hand.at_most(1.1))
        .sampled(Sampling::LONG))
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

fn backend(runtime: &Rc<Runtime>, name: &str, backend: impl LockBackend) -> Contender {
    contender(
        runtime,
        format!("steadfast-lease {name}"),
        async move || {
            let grant = backend.try_acquire("bench", "bench", TTL).await?;
            backend.release(&grant.ok_or("the lease is held")?).await?;
            Ok(())
        },
    )
}

fn contender(
    runtime: &Rc<Runtime>,
    name: impl Into<String>,
    round: impl AsyncFn() -> Result<(), Box<dyn Error>> + 'static,
) -> Contender {
    let runtime = Rc::clone(runtime);
    let sampler = move |rounds: u64| {
        timed(|| {
            runtime.block_on(async {
                for _ in 0..rounds {
                    round().await.expect("the lease is acquired and released");
                }
            });
        })
    };
    Contender::new(name, Box::new(sampler)).threaded()
}
