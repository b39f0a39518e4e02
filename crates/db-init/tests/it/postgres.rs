use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use steadfast_clock::{Clock, SystemClock};
use steadfast_db_init::{
    Backend, Class, Database, MigrationError, PostgresBackend, PostgresOptions, conformance,
};
use steadfast_testkit::{Fault, FaultProxy, PrivatePostgres, server_or_skip};

use crate::{chain, notes};

fn backend(url: &str) -> PostgresBackend {
    let options = PostgresOptions::default()
        .connect_timeout(Duration::from_secs(2))
        .lock_timeout(Duration::from_secs(20));
    PostgresBackend::new(url, options).unwrap()
}

/// A private server, with a new database for each backend.
struct Server(PrivatePostgres, AtomicU32);

impl Server {
    async fn start() -> Option<Self> {
        let server = server_or_skip(PrivatePostgres::start().await)?;
        Some(Self(server, 0.into()))
    }

    async fn database(&self) -> String {
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        self.0
            .create_database(&format!("db{number}"))
            .await
            .unwrap()
    }
}

#[async_trait]
impl conformance::Fixture for Server {
    type Backend = PostgresBackend;
    type Connection = PoolConnection<Postgres>;

    async fn fresh(&self) -> PostgresBackend {
        backend(&self.database().await)
    }

    async fn checkout(&self, pool: &PgPool) -> PoolConnection<Postgres> {
        pool.acquire().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_backend_conforms() {
    let Some(server) = Server::start().await else {
        return;
    };
    conformance::all(&server).await;
}

#[tokio::test]
async fn initialise_close_initialise_on_postgres() {
    let Some(server) = Server::start().await else {
        return;
    };
    let database = Database::builder(backend(&server.database().await));
    let database = database.migrations(notes()).build().unwrap();
    for _ in 0..2 {
        let pool = database.initialize().await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM note")
            .fetch_one(&*pool)
            .await
            .unwrap();
        assert_eq!(count, 1);
        let kept = pool.acquire().await.unwrap();
        let report = database.close(Duration::from_millis(50)).await;
        assert_eq!((report.complete, report.leaked), (false, 1));
        drop(kept);
    }
}

#[tokio::test]
async fn lock_held_by_another_is_waited_for_and_then_named() {
    let Some(server) = Server::start().await else {
        return;
    };
    let url = server.database().await;
    let options = PostgresOptions::default().lock_timeout(Duration::from_millis(300));
    let backend = PostgresBackend::new(&url, options).unwrap();
    let pool = backend.connect().await.unwrap();
    let mut holder = PgConnection::connect(&url).await.unwrap();
    let key = i64::from_be_bytes(*b"steadfst");
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(key)
        .execute(&mut holder)
        .await
        .unwrap();
    let error = backend.migrate(&pool, &notes()).await.unwrap_err();
    assert!(matches!(error, MigrationError::Locked { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Transient);

    holder.close().await.unwrap();
    assert_eq!(backend.migrate(&pool, &notes()).await.unwrap().len(), 2);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0, "the lock outlived the migration");
    backend.close(&pool).await;
}

#[tokio::test]
async fn refused_wrong_database_and_wrong_host_are_classified() {
    let Some(server) = Server::start().await else {
        return;
    };
    let error = backend(&server.0.database_url("nowhere")).connect().await;
    let error = error.unwrap_err();
    assert_eq!(error.class(), Class::Permanent, "{error:?}");
    assert!(
        chain(&error).contains("\"nowhere\" does not exist"),
        "{}",
        chain(&error)
    );

    let url = server.0.url();
    drop(server);
    let error = backend(&url).connect().await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
}

#[tokio::test]
async fn unreachable_server_is_named_with_its_cause_within_the_connect_timeout() {
    let upstream = "127.0.0.1:9".parse().unwrap();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let address = proxy.addr().to_string();
    let url = format!("postgres://user:secret@{address}/app");
    for (fault, cause) in [
        (Fault::Refuse, "Connection refused (os error 111)"),
        (Fault::AcceptThenClose, ""),
        (
            Fault::Blackhole,
            "no answer within the connect timeout of 2s",
        ),
    ] {
        proxy.set(fault).await.unwrap();
        let started = SystemClock.monotonic();
        let error = backend(&url).connect().await.unwrap_err();
        let waited = SystemClock.monotonic() - started;
        assert!(waited < Duration::from_secs(3), "{fault:?}: {waited:?}");
        assert_eq!(error.class(), Class::Transient, "{fault:?}: {error:?}");
        let text = chain(&error);
        assert!(
            text.contains(&format!("cannot connect to postgres at {address}")),
            "{text}"
        );
        assert!(text.contains(cause), "{fault:?}: {text}");
        assert!(
            !text.contains("secret") && !text.contains("pool timed out"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn host_that_does_not_resolve_is_capped_and_named() {
    let error = backend("postgres://u@host.invalid/app")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Capped, "{error:?}");
    assert!(
        chain(&error).starts_with("cannot resolve the host of postgres at host.invalid:5432: ")
    );
}

#[tokio::test]
async fn ping_tells_a_busy_pool_from_a_server_that_is_gone() {
    let Some(server) = Server::start().await else {
        return;
    };
    let upstream = ([127, 0, 0, 1], server.0.port()).into();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.addr());
    let options = PostgresOptions::default()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(300));
    let backend = PostgresBackend::new(&url, options).unwrap();
    let pool = backend.connect().await.unwrap();
    let connection = pool.acquire().await.unwrap();
    let text = chain(&backend.ping(&pool).await.unwrap_err());
    assert!(
        text.ends_with("all connections of the pool were in use for 300ms"),
        "{text}"
    );

    drop(connection);
    backend.ping(&pool).await.unwrap();
    proxy.set(Fault::Refuse).await.unwrap();
    let text = chain(&backend.ping(&pool).await.unwrap_err());
    assert!(!text.contains("pool timed out"), "{text}");
    assert!(text.contains(&proxy.addr().to_string()), "{text}");
}
