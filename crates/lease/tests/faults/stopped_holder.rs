//! A holder whose process is stopped for longer than its lease lives, and then goes on: no clock
//! of its own can keep it from writing, the fence does.

use std::{path::Path, time::Duration};

use steadfast_lease::{PostgresBackend, SqliteBackend};
use steadfast_testkit::{ChildProcess, PrivatePostgres, server_or_skip};
use tokio::time::{Instant, sleep};

use crate::{
    TTL, lock,
    log::{Failed, Log, Writes, overlap},
};

/// What a process that is merely slow does not reach.
const STOPPED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holder() {
    let Some(role) = ChildProcess::role() else {
        return;
    };
    let (writes, database) = role.split_once(' ').unwrap();
    let writes = match writes {
        "fenced" => Writes::Fenced,
        _ => Writes::Unfenced,
    };
    match Log::at(database).await {
        log @ Log::Sqlite(_) => hold(log, writes).await,
        log @ Log::Postgres(_) => hold(log, writes).await,
    }
}

/// Takes the lease, sleeps until it has been stopped and writes as if nothing had happened.
async fn hold(log: Log, writes: Writes) {
    let work = async |cx: steadfast_lease::LeaseContext| {
        println!("HELD {}", cx.fence());
        loop {
            let before = Instant::now();
            sleep(Duration::from_millis(20)).await;
            if before.elapsed() > STOPPED {
                break;
            }
        }
        match log.write(writes, cx.fence()).await {
            Ok(()) => println!("WROTE"),
            Err(Failed::Refused) => println!("REFUSED"),
            Err(Failed::Unknown) => println!("UNKNOWN"),
        }
    };
    let outcome = match &log {
        Log::Sqlite(pool) => lock(SqliteBackend::new(pool.clone()), "a").run(work).await,
        Log::Postgres(pool) => {
            lock(PostgresBackend::new(pool.clone()), "a")
                .run(work)
                .await
        }
    };
    assert!(outcome.is_err(), "the lease was lost");
}

impl Log {
    /// The log at a `postgres://` URL or in a file.
    async fn at(database: &str) -> Self {
        if database.starts_with("postgres://") {
            Self::postgres(database)
        } else {
            Self::sqlite(Path::new(database)).await
        }
    }
}

/// What the late holder says of its write, and the order of all writes.
async fn stop_and_go_on(writes: &str, database: &str) -> (String, Vec<i64>) {
    let log = Log::at(database).await;
    log.create_tables().await;
    let role = format!("{writes} {database}");
    let mut holder = ChildProcess::start("stopped_holder::holder", &role).unwrap();
    holder.hear("HELD 1");
    holder.send("STOP");
    let succeed = async |cx: steadfast_lease::LeaseContext| {
        assert_eq!(cx.fence(), 2);
        log.write(Writes::Fenced, cx.fence()).await.unwrap();
        holder.send("CONT");
        loop {
            let line = holder.next_line().unwrap();
            if ["WROTE", "REFUSED", "UNKNOWN"].contains(&&*line) {
                break line;
            }
        }
    };
    let said = match &log {
        Log::Sqlite(pool) => {
            lock(SqliteBackend::new(pool.clone()), "b")
                .run(succeed)
                .await
        }
        Log::Postgres(pool) => {
            lock(PostgresBackend::new(pool.clone()), "b")
                .run(succeed)
                .await
        }
    };
    assert!(holder.wait().success());
    (said.unwrap(), log.fences().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_write_of_a_stopped_holder_is_refused_by_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    let outcome = stop_and_go_on("fenced", file.to_str().unwrap()).await;
    assert_eq!(outcome, ("REFUSED".to_owned(), vec![2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_write_of_a_stopped_holder_is_refused_by_postgres() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let url = server.create_database("log").await.unwrap();
    let outcome = stop_and_go_on("fenced", &url).await;
    assert_eq!(outcome, ("REFUSED".to_owned(), vec![2]));
}

/// The same without the fence: the lease alone does not keep the late write out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn specimen_without_a_fence_writes_after_its_successor_and_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    let (said, fences) = stop_and_go_on("unfenced", file.to_str().unwrap()).await;
    assert_eq!((&*said, &*fences), ("WROTE", &[2, 1][..]));
    assert_eq!(overlap(&fences), Some(0));
}

const _: () = assert!(STOPPED.as_millis() < TTL.as_millis());
