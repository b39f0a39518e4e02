//! The tables of classes, against errors of the real Postgres and SQLite.

use sqlx::{Connection, Error, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};
use steadfast_db_init::{Class, classify_postgres, classify_sqlite};
use steadfast_testkit::{Fault, FaultProxy, PrivatePostgres, server_or_skip};

fn code(error: &Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.unwrap_or_else(|| panic!("not of the database: {error:?}"))
        .into_owned()
}

#[track_caller]
fn assert_postgres(error: &Error, expected: &str, class: Class) {
    assert_eq!(code(error), expected, "{error}");
    assert_eq!(classify_postgres(error), class, "{expected}");
}

#[track_caller]
fn assert_sqlite(error: &Error, expected: &str, class: Class) {
    assert_eq!(code(error), expected, "{error}");
    assert_eq!(classify_sqlite(error), class, "{expected}");
}

async fn postgres(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

#[tokio::test]
async fn statements_that_postgres_refuses_have_the_class_of_the_table() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let setup = "CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1), (2);
        CREATE ROLE app LOGIN";
    run(&mut postgres(&server.url()).await, setup)
        .await
        .unwrap();
    for (before, sql, code, class) in [
        ("", "SELECT * FROM nowhere", "42P01", Class::Permanent),
        ("", "SELEC 1", "42601", Class::Permanent),
        ("", "SELECT 'x'::int", "22P02", Class::Permanent),
        ("", "SELECT 1 / 0", "22012", Class::Permanent),
        ("", "INSERT INTO item VALUES (1)", "23505", Class::Permanent),
        (
            "",
            "SELECT count(*) FROM item FOR UPDATE",
            "0A000",
            Class::Permanent,
        ),
        (
            "",
            "CREATE TABLE nowhere.item (id int)",
            "3F000",
            Class::Permanent,
        ),
        ("SET ROLE app", "TABLE item", "42501", Class::Permanent),
        (
            "SET default_transaction_read_only = on",
            "DELETE FROM item",
            "25006",
            Class::Transient,
        ),
        (
            "SET statement_timeout = '20ms'",
            "SELECT pg_sleep(30)",
            "57014",
            Class::Capped,
        ),
    ] {
        let mut connection = postgres(&server.url()).await;
        run(&mut connection, before).await.unwrap();
        let error = run(&mut connection, sql).await.unwrap_err();
        assert_postgres(&error, code, class);
    }
}

#[tokio::test]
async fn transactions_that_collide_in_postgres_are_transient() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let mut one = postgres(&server.url()).await;
    let mut two = postgres(&server.url()).await;
    let setup = "CREATE TABLE item (id int PRIMARY KEY, n int);
        INSERT INTO item VALUES (1, 0), (2, 0)";
    run(&mut one, setup).await.unwrap();

    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM item";
    run(&mut one, begin).await.unwrap();
    run(&mut two, "UPDATE item SET n = 1").await.unwrap();
    let error = run(&mut one, "UPDATE item SET n = 2").await.unwrap_err();
    assert_postgres(&error, "40001", Class::Transient);
    run(&mut one, "ROLLBACK").await.unwrap();

    let lock = "BEGIN; SELECT * FROM item WHERE id = 1 FOR UPDATE";
    run(&mut one, lock).await.unwrap();
    let lock = "SELECT * FROM item WHERE id = 1 FOR UPDATE NOWAIT";
    let error = run(&mut two, lock).await.unwrap_err();
    assert_postgres(&error, "55P03", Class::Transient);

    let lock = "SET deadlock_timeout = '10ms'; BEGIN; SELECT * FROM item WHERE id = 2 FOR UPDATE";
    run(&mut two, lock).await.unwrap();
    let (first, second) = tokio::join!(
        async {
            let outcome = run(&mut one, "UPDATE item SET n = 3 WHERE id = 2").await;
            run(&mut one, "ROLLBACK").await.unwrap();
            outcome
        },
        async {
            let outcome = run(&mut two, "UPDATE item SET n = 3 WHERE id = 1").await;
            run(&mut two, "ROLLBACK").await.unwrap();
            outcome
        },
    );
    let victims: Vec<Error> = first.err().into_iter().chain(second.err()).collect();
    assert_eq!(victims.len(), 1, "{victims:?}");
    assert_postgres(&victims[0], "40P01", Class::Transient);
}

#[tokio::test]
async fn connections_that_postgres_refuses_or_ends_have_the_class_of_the_table() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let mut admin = postgres(&server.url()).await;
    let error = PgConnection::connect(&server.database_url("nowhere")).await;
    assert_postgres(&error.unwrap_err(), "3D000", Class::Permanent);

    let role = "CREATE ROLE one LOGIN CONNECTION LIMIT 1";
    run(&mut admin, role).await.unwrap();
    let url = format!("postgres://one@127.0.0.1:{}/postgres", server.port());
    let _only = postgres(&url).await;
    let error = PgConnection::connect(&url).await.unwrap_err();
    assert_postgres(&error, "53300", Class::Transient);

    let mut victim = postgres(&server.url()).await;
    let kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND usename = 'postgres'";
    run(&mut admin, kill).await.unwrap();
    let error = run(&mut victim, "SELECT 1").await.unwrap_err();
    assert_postgres(&error, "57P01", Class::Transient);

    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.addr());
    for fault in [Fault::Refuse, Fault::AcceptThenClose, Fault::Reset] {
        proxy.set(fault).await.unwrap();
        let error = PgConnection::connect(&url).await.unwrap_err();
        let class = classify_postgres(&error);
        assert_eq!(class, Class::Transient, "{fault:?}: {error:?}");
    }
}

async fn sqlite(path: &std::path::Path) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(std::time::Duration::ZERO);
    SqliteConnection::connect_with(&options).await
}

async fn write(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

#[tokio::test]
async fn statements_that_sqlite_refuses_have_the_class_of_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let mut one = sqlite(&path).await.unwrap();
    let setup = "PRAGMA journal_mode = WAL; CREATE TABLE item (id INTEGER PRIMARY KEY, b BLOB);
        INSERT INTO item VALUES (1, NULL)";
    write(&mut one, setup).await.unwrap();
    let mut two = sqlite(&path).await.unwrap();

    let error = write(&mut one, "SELEC 1").await.unwrap_err();
    assert_sqlite(&error, "1", Class::Permanent);
    let error = write(&mut one, "INSERT INTO item VALUES (1, NULL)").await;
    assert_sqlite(&error.unwrap_err(), "1555", Class::Permanent);

    write(&mut one, "BEGIN IMMEDIATE").await.unwrap();
    let error = write(&mut two, "BEGIN IMMEDIATE").await.unwrap_err();
    assert_sqlite(&error, "5", Class::Transient);
    write(&mut one, "ROLLBACK").await.unwrap();

    let read = "BEGIN; SELECT * FROM item";
    write(&mut one, read).await.unwrap();
    write(&mut two, "INSERT INTO item VALUES (2, NULL)")
        .await
        .unwrap();
    let error = write(&mut one, "INSERT INTO item VALUES (3, NULL)").await;
    assert_sqlite(&error.unwrap_err(), "517", Class::Transient);
    write(&mut one, "ROLLBACK").await.unwrap();

    write(&mut one, "PRAGMA max_page_count = 3").await.unwrap();
    let error = write(&mut one, "INSERT INTO item VALUES (4, zeroblob(100000))").await;
    assert_sqlite(&error.unwrap_err(), "13", Class::Permanent);

    write(&mut one, "PRAGMA query_only = ON").await.unwrap();
    let error = write(&mut one, "DELETE FROM item").await.unwrap_err();
    assert_sqlite(&error, "8", Class::Permanent);
}

#[tokio::test]
async fn files_that_sqlite_refuses_are_permanent() {
    let directory = tempfile::tempdir().unwrap();
    let error = sqlite(&directory.path().join("nowhere/app.db")).await;
    assert_sqlite(&error.unwrap_err(), "14", Class::Permanent);

    let path = directory.path().join("text.db");
    std::fs::write(&path, "no database, ".repeat(1000)).unwrap();
    let read = async {
        let mut connection = sqlite(&path).await?;
        write(&mut connection, "SELECT * FROM sqlite_schema").await
    };
    assert_sqlite(&read.await.unwrap_err(), "26", Class::Permanent);

    let path = directory.path().join("corrupt.db");
    let mut connection = sqlite(&path).await.unwrap();
    let setup = "CREATE TABLE item (b BLOB); INSERT INTO item VALUES (zeroblob(20000))";
    write(&mut connection, setup).await.unwrap();
    connection.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let read = async {
        let mut connection = sqlite(&path).await?;
        write(&mut connection, "SELECT * FROM item").await
    };
    assert_sqlite(&read.await.unwrap_err(), "11", Class::Permanent);
}
