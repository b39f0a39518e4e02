//! A Postgres server that dies, restarts or loses a process while it is being initialised.

use std::{fmt::Debug, process::Command, sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection};
use steadfast_clock::{Clock, SystemClock};
use steadfast_db_init::{Backend, Class, PostgresBackend, PostgresOptions, classify_postgres};
use steadfast_testkit::{PrivatePostgres, Random, seed, server_or_skip, soak_time};
use tokio::task::JoinSet;

use crate::{NOTES, chain, pass, persistent, set, until};

/// How late into an initialisation a fault comes at most; one takes about half as long.
const LATEST: u64 = 1_000;

/// As [`NOTES`] on Postgres, and long enough to be hit in the middle.
const SLOW_NOTES: &[(u32, &str, &str)] = &[
    NOTES[0],
    (2, "SELECT 1", "SELECT pg_sleep(0.2)"),
    (
        3,
        "SELECT 1",
        "INSERT INTO note VALUES ('first'); SELECT pg_sleep(0.2)",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The postmaster and all its children are killed by SIGKILL.
    Kill,
    /// A shutdown that ends its sessions (57P01), and a start (57P03).
    Restart,
    /// A shutdown that says nothing, after which the server has to recover.
    Immediate,
    /// One process of the server is killed: the migrator's if there is one, at whose end the
    /// others are told that a process has crashed (57P02), and the server recovers (57P03).
    Crash,
}

const FAULTS: [Fault; 4] = [Fault::Kill, Fault::Restart, Fault::Immediate, Fault::Crash];

#[tokio::test]
async fn server_that_dies_or_restarts_meanwhile_is_migrated_exactly_once() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let mut random = Random::new(seed());
    let end = SystemClock.monotonic() + soak_time();
    let (mut rounds, mut hit) = (0, 0);
    while rounds < FAULTS.len() || SystemClock.monotonic() < end {
        let fault = FAULTS[rounds % FAULTS.len()];
        let url = server.create_database(&format!("round{rounds}")).await;
        let url = url.unwrap();
        let database = Arc::new(persistent(&url, Duration::from_secs(2), SLOW_NOTES));
        let mut callers = JoinSet::new();
        for _ in 0..3 {
            let database = Arc::clone(&database);
            callers.spawn(async move { database.initialize().await.map(drop) });
        }
        let delay = Duration::from_millis(random.below(LATEST));
        pass(delay).await;
        hit += usize::from(!database.status().is_ready());
        hurt(&server, fault).await;
        while let Some(outcome) = callers.join_next().await {
            let outcome = outcome.unwrap().map_err(|error| chain(&*error));
            assert_eq!(outcome, Ok(()), "round {rounds}: {fault:?} after {delay:?}");
        }
        // The fault may have come after all that, and the server is not back yet.
        let pending = until(async || database.pending().await.ok()).await;
        assert_eq!(pending, []);
        let notes = until(async || notes(&url).await.ok()).await;
        assert_eq!(notes, 1, "round {rounds}: {fault:?} after {delay:?}");
        assert!(database.close(Duration::from_secs(30)).await.complete);
        rounds += 1;
    }
    println!("{rounds} rounds; the fault came during the initialisation in {hit}");
    assert!(hit >= 1, "the fault never came in time");
}

async fn notes(url: &str) -> Result<i64, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let notes = sqlx::query_scalar("SELECT count(*) FROM note");
    notes.fetch_one(&mut connection).await
}

/// Hurts the server; it is up again, or about to be, when this returns.
async fn hurt(server: &PrivatePostgres, fault: Fault) {
    match fault {
        Fault::Kill => {
            server.kill();
            server.restart().await.unwrap();
        }
        Fault::Restart => server.restart().await.unwrap(),
        Fault::Immediate => {
            signal("QUIT", server.pid().unwrap());
            server.restart().await.unwrap();
        }
        Fault::Crash => {
            let mut admin = PgConnection::connect(&server.url()).await.unwrap();
            let victim = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
                ORDER BY datname LIKE 'round%' DESC, backend_start DESC LIMIT 1";
            let victim: i32 = sqlx::query_scalar(victim)
                .fetch_one(&mut admin)
                .await
                .unwrap();
            signal("KILL", victim.try_into().unwrap());
        }
    }
}

fn signal(name: &str, process: u32) {
    // The shell's own: kill(1) is not installed everywhere. That the process has ended is fine.
    let kill = format!("kill -s {name} {process}");
    Command::new("sh").args(["-c", &kill]).output().unwrap();
}

#[tokio::test]
async fn server_that_shuts_down_or_crashed_is_transient_and_says_so() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let backend = PostgresBackend::new(&server.url(), PostgresOptions::default()).unwrap();

    // A smart shutdown waits for this session, and takes no other.
    let session = PgConnection::connect(&server.url()).await.unwrap();
    signal("TERM", server.pid().unwrap());
    let refused = until(async || backend.connect().await.err()).await;
    assert_transient(&refused, refused.class());
    let text = chain(&refused);
    let expected = "wait until the server has started, or see in its log why it does not: the \
        database system is shutting down";
    assert!(text.contains(expected), "{text}");
    drop(session);
    server.restart().await.unwrap();

    // All sessions end when a process of the server crashes.
    let mut session = PgConnection::connect(&server.url()).await.unwrap();
    let mut victim = PgConnection::connect(&server.url()).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut victim)
        .await
        .unwrap();
    signal("KILL", pid.try_into().unwrap());
    for connection in [&mut session, &mut victim] {
        let error = until(async || {
            let select = sqlx::query("SELECT pg_sleep(1)").execute(&mut *connection);
            select.await.err()
        })
        .await;
        assert_transient(&error, classify_postgres(&error));
    }
    // It recovers by itself.
    let database = persistent(&server.url(), Duration::from_secs(2), NOTES);
    database.initialize().await.unwrap();
    assert!(
        backend
            .pending(&set("notes", NOTES))
            .await
            .unwrap()
            .is_empty()
    );
}

fn assert_transient(error: &impl Debug, class: Class) {
    println!("{error:?}");
    assert_eq!(class, Class::Transient, "{error:?}");
}
