use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use steadfast_clock::{Clock, SystemClock};
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
    assert!(chain(&error).ends_with("no answer from postgres within 300ms"));
    holder.close().await.unwrap();
    assert!(backend.pending(&set).await.unwrap().is_empty());
    backend.close(&pool).await;
}

#[tokio::test]
async fn wrong_password_missing_database_and_refusal_are_told_apart() {
    let Some(server) = Server::start().await else {
        return;
    };
    ask_for_passwords(&server).await;
    let url = |user: &str| format!("postgres://{user}@127.0.0.1:{}/postgres", server.0.port());
    backend(&url("app:right")).connect().await.unwrap();
    for (user, cause) in [
        (
            "app:wrong",
            "password authentication failed for user \"app\"",
        ),
        (
            "nobody:any",
            "password authentication failed for user \"nobody\"",
        ),
    ] {
        let error = backend(&url(user)).connect().await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent, "{error:?}");
        assert!(chain(&error).contains(cause), "{}", chain(&error));
    }
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

/// Makes the user `app`, and lets nobody but `postgres` in without a password.
async fn ask_for_passwords(server: &Server) {
    let hba = "local all all trust\nhost all postgres all trust\nhost all all all scram-sha-256\n";
    std::fs::write(server.0.directory().join("data/pg_hba.conf"), hba).unwrap();
    let mut connection = PgConnection::connect(&server.0.url()).await.unwrap();
    for sql in [
        "CREATE ROLE app LOGIN PASSWORD 'right'",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    // The postmaster reloads when it gets to it.
    let open = format!(
        "postgres://app:wrong@127.0.0.1:{}/postgres",
        server.0.port()
    );
    while backend(&open).connect().await.is_ok() {
        tokio::task::yield_now().await;
    }
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
