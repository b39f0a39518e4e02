//! What is wrong with the input is told in words that differ, name it, and say what to do; and
//! what retrying cannot cure is tried once.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use steadfast_clock::{Clock, SystemClock};
use steadfast_db_init::{
    Backend, BackendError, Class, Database, InitError, MigrationError, MigrationId, MigrationSet,
    PoolStats, PostgresBackend, PostgresOptions, SqliteBackend, SqliteOptions, Status,
};
use steadfast_testkit::{Fault, FaultProxy, PrivatePostgres, server_or_skip};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use crate::{NOTES, chain, notes};

const CONNECT: Duration = Duration::from_secs(2);
/// What a loaded machine may take on top.
const SLACK: Duration = Duration::from_secs(5);

/// The error that initialising ends with, and its chain.
async fn refused<B: Backend>(database: &Database<B>) -> (Arc<InitError>, String) {
    let error = database.initialize().await.map(drop).unwrap_err();
    assert!(matches!(
        database.status(),
        Status::Failed { generation: 1, .. }
    ));
    let text = chain(&*error);
    assert!(!text.contains("secret"), "{text}");
    (error, text)
}

fn postgres(url: &str) -> (Database<Counted<PostgresBackend>>, Arc<AtomicU32>) {
    let options = PostgresOptions::default().connect_timeout(CONNECT);
    counted(PostgresBackend::new(url, options).unwrap(), notes())
}

fn sqlite(
    path: &Path,
    migrations: MigrationSet,
) -> (Database<Counted<SqliteBackend>>, Arc<AtomicU32>) {
    let options = SqliteOptions::default();
    counted(SqliteBackend::new(path, options).unwrap(), migrations)
}

fn counted<B: Backend>(
    backend: B,
    migrations: MigrationSet,
) -> (Database<Counted<B>>, Arc<AtomicU32>) {
    let connects = Arc::new(AtomicU32::new(0));
    let backend = Counted(backend, Arc::clone(&connects));
    let builder = Database::builder(backend).migrations(migrations);
    (builder.max_attempts(3).build().unwrap(), connects)
}

#[tokio::test]
async fn what_a_server_refuses_for_good_is_tried_once_and_says_what_to_do() {
    let server = PrivatePostgres::builder().password("right").start().await;
    let Some(server) = server_or_skip(server) else {
        return;
    };
    let address = format!("127.0.0.1:{}", server.port());
    for (login, rest, remedy, cause) in [
        (
            "postgres:secret",
            "postgres",
            "correct user `postgres` or the password in the URL",
            "password authentication failed for user \"postgres\"",
        ),
        (
            "nobody:secret",
            "postgres",
            "correct user `nobody` or the password in the URL",
            "password authentication failed for user \"nobody\"",
        ),
        (
            "postgres:right",
            "nowhere",
            "create database `nowhere`, or correct its name in the URL",
            "database \"nowhere\" does not exist",
        ),
        (
            "postgres:right",
            "postgres?sslmode=require",
            "set `sslmode=disable` in the URL and reach the server through a private network or a \
             tunnel: this program is built without TLS",
            "",
        ),
    ] {
        let (database, connects) = postgres(&format!("postgres://{login}@{address}/{rest}"));
        let (error, text) = refused(&database).await;
        assert!(matches!(*error, InitError::Permanent { .. }), "{error:?}");
        assert_eq!(connects.load(Ordering::Relaxed), 1, "tried again: {text}");
        let expected = format!("cannot connect to postgres at {address}; {remedy}: ");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains(cause), "{text}");
    }
}

#[tokio::test]
async fn user_without_rights_is_told_which_and_where() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let admin = postgres(&server.url()).0.initialize().await.unwrap();
    let role = "DROP TABLE note, steadfast_migration; CREATE ROLE app LOGIN";
    sqlx::raw_sql(role).execute(&*admin).await.unwrap();
    let url = |user: &str| format!("postgres://{user}@127.0.0.1:{}/postgres", server.port());

    let (error, text) = refused(&postgres(&url("app")).0).await;
    assert!(matches!(*error, InitError::Migration { .. }), "{error:?}");
    let remedy = "; grant user `app` the rights that it lacks in database `postgres`: permission \
         denied for schema public";
    assert!(text.contains(remedy), "{text}");

    let (error, text) = refused(&postgres(&url("nobody")).0).await;
    assert!(matches!(*error, InitError::Permanent { .. }), "{error:?}");
    let remedy = "; create user `nobody`, let it in by the server's `pg_hba.conf`, or correct it \
         in the URL: role \"nobody\" does not exist";
    assert!(text.contains(remedy), "{text}");
}

#[tokio::test]
async fn server_that_only_reads_is_told_to_write() {
    let server = PrivatePostgres::builder().read_only().start().await;
    let Some(server) = server_or_skip(server) else {
        return;
    };
    let (error, text) = refused(&postgres(&server.url()).0).await;
    assert!(matches!(*error, InitError::Exhausted { attempts: 3, .. }));
    let remedy = format!(
        "postgres at 127.0.0.1:{} refused; connect to the primary, or let the server write: ",
        server.port()
    );
    assert!(text.contains(&remedy), "{text}");
}

#[tokio::test]
async fn server_that_is_not_there_says_so_within_the_connect_timeout() {
    let upstream = "127.0.0.1:9".parse().unwrap();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let address = proxy.addr();
    let url = format!("postgres://user:secret@{address}/app");
    for (fault, remedy) in [
        (
            Fault::Refuse,
            "start the server there, or correct host and port in the URL: Connection refused",
        ),
        (
            Fault::AcceptThenClose,
            "make sure that it is a Postgres server that listens there, and see in its log why it \
             ended the connection: ",
        ),
        (
            Fault::Blackhole,
            "make sure that a Postgres server listens there that is not overloaded, and that no \
             firewall on the way drops packets, or raise `connect_timeout`: no answer within the \
             connect timeout of 2s",
        ),
    ] {
        proxy.set(fault).await.unwrap();
        let options = PostgresOptions::default().connect_timeout(CONNECT);
        let backend = PostgresBackend::new(&url, options).unwrap();
        let database = Database::builder(backend).max_attempts(1).build().unwrap();
        let started = SystemClock.monotonic();
        let (error, text) = refused(&database).await;
        let waited = SystemClock.monotonic() - started;
        assert!(waited < CONNECT + SLACK, "{fault:?}: {waited:?}");
        assert!(matches!(*error, InitError::Exhausted { attempts: 1, .. }));
        let expected = format!("cannot connect to postgres at {address}; {remedy}");
        assert!(text.contains(&expected), "{text}");
    }
}

#[tokio::test]
async fn host_that_does_not_resolve_is_tried_twice_and_says_what_to_do() {
    let (error, text) = refused(&postgres("postgres://u:secret@host.invalid/app").0).await;
    let twice = matches!(*error, InitError::Exhausted { attempts: 2, .. });
    assert!(twice, "{error:?}");
    let expected = "cannot resolve the host of postgres at host.invalid:5432; correct the host \
         name in the URL, or the name service of this machine: ";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn something_else_that_listens_is_told_from_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut other = JoinSet::new();
    other.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    });
    let (database, _) = postgres(&format!("postgres://user:secret@{address}/app"));
    let (error, text) = refused(&database).await;
    assert!(matches!(*error, InitError::Exhausted { attempts: 3, .. }));
    let expected = format!(
        "cannot connect to postgres at {address}; make sure that it is a Postgres server that \
         listens there, and see in its log why it ended the connection: "
    );
    assert!(text.contains(&expected), "{text}");
}

#[tokio::test]
async fn deadline_that_passes_during_a_migration_names_the_server() {
    const SLEEP: &[(u32, &str, &str)] = &[(1, "SELECT 1", "SELECT pg_sleep(600)")];
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let backend = PostgresBackend::new(&server.url(), PostgresOptions::default()).unwrap();
    let database = Database::builder(backend)
        .migrations(MigrationSet::new().add("sleep", SLEEP).unwrap())
        .deadline(SLACK);
    let (_, text) = refused(&database.build().unwrap()).await;
    let expected = format!(
        "postgres at 127.0.0.1:{} was not initialised in time; the deadline passed while migrating",
        server.port()
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn file_that_cannot_serve_is_tried_once_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("directory.db")).unwrap();
    std::fs::write(path("text.db"), "not a database at all\n".repeat(100)).unwrap();
    let (corrupt, _) = sqlite(&path("corrupt.db"), notes());
    corrupt.initialize().await.unwrap();
    assert!(corrupt.close(Duration::from_secs(10)).await.complete);
    // The header stays, the schema behind it does not.
    let mut bytes = std::fs::read(path("corrupt.db")).unwrap();
    bytes[100..2000].fill(0xff);
    std::fs::write(path("corrupt.db"), bytes).unwrap();

    for (path, remedy, cause) in [
        (
            path("directory.db"),
            "give the path of a file, such as one in it",
            "is a directory, not a database file",
        ),
        (
            path("missing/app.db"),
            "create that directory, or give another path",
            "is not a directory, so there can be no database in it",
        ),
        (
            // Nobody, not even root, may create files there.
            "/proc/self/app.db".into(),
            "let the user of this process create files there: SQLite needs one for its log",
            "is not writable",
        ),
        (
            path("text.db"),
            "give the path of another file, or move this one away",
            "is not a SQLite database",
        ),
        (
            path("corrupt.db"),
            "restore a backup, or see https://www.sqlite.org/recovery.html",
            "is corrupt",
        ),
    ] {
        let (database, connects) = sqlite(&path, notes());
        let (error, text) = refused(&database).await;
        let InitError::Permanent { source } = &*error else {
            panic!("{error:?}");
        };
        assert_eq!(source.class(), Class::Permanent);
        assert_eq!(source.remedy(), Some(remedy));
        let expected = format!(
            "cannot open SQLite database `{}`; {remedy}: ",
            path.display()
        );
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains(cause), "{text}");
        assert_eq!(connects.load(Ordering::Relaxed), 1, "tried again: {text}");
    }
}

#[tokio::test]
async fn ledger_that_contradicts_the_program_is_read_once_and_says_what_to_do() {
    const OLDER: &[(u32, &str, &str)] = &[NOTES[0]];
    const CHANGED: &[(u32, &str, &str)] = &[(1, "SELECT 1", "SELECT 1"), NOTES[1]];
    let set = |name, migrations| MigrationSet::new().add(name, migrations).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (number, (by_hand, program, cause)) in [
        (
            "SELECT 1",
            set("notes", OLDER),
            "the database has migration notes 2, but this program knows crate `notes` only up to \
             version 1: run the newer program, or restore a backup from before its upgrade",
        ),
        (
            "SELECT 1",
            set("other", NOTES),
            "the database has migration notes 2, but this program has no crate `notes`: run the \
             program that added it, or one that is built with that crate",
        ),
        (
            "SELECT 1",
            set("notes", CHANGED),
            "restore its SQL as it was and put the change into a new migration",
        ),
        (
            "DELETE FROM steadfast_migration WHERE version = 1",
            notes(),
            "the ledger lacks migration notes 1 although it has version 2: somebody changed the \
             table `steadfast_migration` by hand; restore its row, or a backup",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = directory.path().join(format!("{number}.db"));
        let (database, _) = sqlite(&path, notes());
        let pools = database.initialize().await.unwrap();
        sqlx::raw_sql(by_hand).execute(&pools.writer).await.unwrap();
        drop(pools);
        assert!(database.close(Duration::from_secs(10)).await.complete);

        let (database, connects) = sqlite(&path, program);
        let (error, text) = refused(&database).await;
        assert!(matches!(*error, InitError::Migration { .. }), "{error:?}");
        assert!(text.ends_with(cause), "{text}");
        assert_eq!(connects.load(Ordering::Relaxed), 1, "tried again: {text}");
    }
}

/// Counts the connects of a backend.
struct Counted<B>(B, Arc<AtomicU32>);

#[async_trait]
impl<B: Backend> Backend for Counted<B> {
    type Pool = B::Pool;

    async fn connect(&self) -> Result<B::Pool, BackendError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.connect().await
    }

    async fn ping(&self, pool: &B::Pool) -> Result<(), BackendError> {
        self.0.ping(pool).await
    }

    async fn migrate(
        &self,
        pool: &B::Pool,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        self.0.migrate(pool, migrations).await
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        self.0.pending(migrations).await
    }

    fn stats(&self, pool: &B::Pool) -> PoolStats {
        self.0.stats(pool)
    }

    async fn close(&self, pool: &B::Pool) {
        self.0.close(pool).await;
    }
}
