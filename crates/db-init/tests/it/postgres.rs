use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use steadfast_db_init::{
    Backend, Class, Database, MigrationError, MigrationSet, PostgresBackend, PostgresOptions,
    conformance,
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

    // Whoever locks the table itself does not make the question what is pending wait for ever.
    let mut holder = PgConnection::connect(&url).await.unwrap();
    let lock = "BEGIN; LOCK TABLE steadfast_migration IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    let set = notes();
    let pending = tokio::time::timeout(Duration::from_secs(10), backend.pending(&set));
    let error = pending.await.expect("it is bounded").unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    let text = chain(&error);
    assert!(
        text.contains(&format!("127.0.0.1:{}", server.0.port())) && text.contains("within 300ms"),
        "{text}"
    );
    holder.close().await.unwrap();
    assert!(backend.pending(&set).await.unwrap().is_empty());
    backend.close(&pool).await;
}

/// Its commit takes a second, and others can see that it has begun.
const SLOW_COMMIT: &str = "CREATE TABLE slow (id int);
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_lock(42); PERFORM pg_sleep(1); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle();
    INSERT INTO slow VALUES (1)";
const SLOW: &[(u32, &str, &str)] = &[(1, "SELECT 1", SLOW_COMMIT)];

#[tokio::test]
async fn connection_lost_during_the_commit_is_ambiguous_and_the_ledger_tells() {
    let Some(server) = Server::start().await else {
        return;
    };
    let upstream = ([127, 0, 0, 1], server.0.port()).into();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let backend = backend(&format!("postgres://postgres@{}/postgres", proxy.addr()));
    let pool = backend.connect().await.unwrap();
    let set = MigrationSet::new().add("slow", SLOW).unwrap();
    let cut = async {
        let mut watcher = PgConnection::connect(&server.0.url()).await.unwrap();
        let begun = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42";
        while sqlx::query_scalar::<_, i64>(begun)
            .fetch_one(&mut watcher)
            .await
            .unwrap()
            == 0
        {}
        proxy.set(Fault::Refuse).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(backend.migrate(&pool, &set), cut);
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), Class::Ambiguous, "{}", chain(&error));

    // The server has done the work; a second attempt waits for it, and reads that from the ledger.
    proxy.set(Fault::Forward).await.unwrap();
    assert!(backend.migrate(&pool, &set).await.unwrap().is_empty());
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
