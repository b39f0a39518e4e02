//! Acquiring and releasing a lease that is free, next to the same statements by hand.

use std::{error::Error, rc::Rc, time::Duration};

use redis::{AsyncConnectionConfig, Client, Script};
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use steadfast_lease::{LockBackend, MIGRATIONS, PostgresBackend, RedisBackend, SqliteBackend};
use steadfast_testkit::{PrivatePostgres, PrivateRedis};
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

/// The scripts of the backend, on a connection of the same kind.
pub(super) fn redis() -> Result<Case, Box<dyn Error>> {
    let runtime = Rc::new(runtime()?);
    let server = Rc::new(runtime.block_on(PrivateRedis::start())?);
    let client = Client::open(server.url())?;
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let connection = runtime.block_on(connecting)?;
    let ours = backend(&runtime, "RedisBackend", RedisBackend::new(client));
    let acquire = Script::new(
        "if redis.call('EXISTS', KEYS[1]) == 1 then return false end
         local time = redis.call('TIME')
         local last = tonumber(redis.call('GET', KEYS[2]) or 0)
         local fence = math.max(last + 1, time[1] * 1000000 + time[2])
         fence = string.format('%.0f', fence)
         redis.call('SET', KEYS[2], fence, 'PX', ARGV[3])
         redis.call('SET', KEYS[1], fence .. ' ' .. ARGV[1], 'PX', ARGV[2])
         return fence",
    );
    let release = Script::new(
        "local held = redis.call('GET', KEYS[1])
         if not held or string.match(held, '^%d+') ~= ARGV[1] then return false end
         redis.call('DEL', KEYS[1])
         return ARGV[1]",
    );
    let by_hand = contender(
        &runtime,
        versioned("redis") + ", the same by hand",
        async move || {
            let _server = &server;
            let mut connection = connection.clone();
            let (lease, fence_of) = ("{by hand}", "{by hand}:fence");
            let fence: u64 = acquire
                .key(lease)
                .key(fence_of)
                .arg("bench")
                .arg(30_000)
                .arg(604_830_000)
                .invoke_async(&mut connection)
                .await?;
            let _: u64 = release
                .key(lease)
                .key(fence_of)
                .arg(fence)
                .invoke_async(&mut connection)
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
