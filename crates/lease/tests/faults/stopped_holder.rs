//! A holder whose process is stopped for longer than its lease lives, and then goes on: no clock
//! of its own can keep it from writing, the fence does.

use std::{sync::Arc, time::Duration};

use redis::Client;
use steadfast_lease::{LeaseContext, LockBackend, PostgresBackend, RedisBackend, SqliteBackend};
use steadfast_testkit::{ChildProcess, PrivatePostgres, PrivateRedis, server_or_skip};
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
    let mut words = role.split(' ');
    let [writes, database, leases] = [(); 3].map(|()| words.next().unwrap());
    let writes = match writes {
        "fenced" => Writes::Fenced,
        _ => Writes::Unfenced,
    };
    let log = Log::at(database).await;
    let backend = backend(&log, leases);
    hold(log, backend, writes).await;
}

/// Takes the lease, sleeps until it has been stopped and writes as if nothing had happened.
async fn hold(log: Log, backend: Arc<dyn LockBackend>, writes: Writes) {
    let work = async |cx: LeaseContext| {
        // From before it can be stopped, and without a gap.
        let mut before = Instant::now();
        println!("HELD {}", cx.fence());
        loop {
            sleep(Duration::from_millis(20)).await;
            let now = Instant::now();
            if now - before > STOPPED {
                break;
            }
            before = now;
        }
        match log.write(writes, cx.fence()).await {
            Ok(()) => println!("WROTE"),
            Err(Failed::Refused) => println!("REFUSED"),
            Err(Failed::Unknown) => println!("UNKNOWN"),
        }
    };
    let outcome = lock(backend, "a").run(work).await;
    assert!(outcome.is_err(), "the lease was lost");
}

/// The leases beside the log, or in the Redis at the URL `leases`.
pub(crate) fn backend(log: &Log, leases: &str) -> Arc<dyn LockBackend> {
    match log {
        _ if leases.starts_with("redis://") => {
            Arc::new(RedisBackend::new(Client::open(leases).unwrap()))
        }
        Log::Sqlite(pool) => Arc::new(SqliteBackend::new(pool.clone())),
        Log::Postgres(pool) => Arc::new(PostgresBackend::new(pool.clone())),
    }
}

/// What became of the write of a holder that was stopped.
struct Late {
    said: String,
    /// The fences of the stopped holder and of its successor.
    fences: [i64; 2],
    /// The order of all writes.
    log: Vec<i64>,
}

async fn stop_and_go_on(writes: &str, database: &str, leases: &str) -> Late {
    let log = Log::at(database).await;
    log.create_tables().await;
    let role = format!("{writes} {database} {leases}");
    let mut holder = ChildProcess::start("stopped_holder::holder", &role).unwrap();
    let fence = loop {
        let line = holder.next_line().unwrap();
        if let Some(fence) = line.strip_prefix("HELD ") {
            break fence.parse().unwrap();
        }
    };
    holder.send("STOP");
    let succeed = async |cx: LeaseContext| {
        log.write(Writes::Fenced, cx.fence()).await.unwrap();
        holder.send("CONT");
        loop {
            let line = holder.next_line().unwrap();
            if ["WROTE", "REFUSED", "UNKNOWN"].contains(&&*line) {
                break (line, cx.fence());
            }
        }
    };
    let succeeded = lock(backend(&log, leases), "b").run(succeed).await;
    let (said, successor) = succeeded.unwrap();
    assert!(holder.wait().success());
    Late {
        said,
        fences: [fence, i64::try_from(successor).unwrap()],
        log: log.fences().await,
    }
}

/// The late write was refused, and the successor's is the only one.
fn assert_refused(late: &Late) {
    let [stopped, successor] = late.fences;
    assert!(stopped < successor, "{successor} after {stopped}");
    assert_eq!((&*late.said, &*late.log), ("REFUSED", &[successor][..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_write_of_a_stopped_holder_is_refused_by_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    assert_refused(&stop_and_go_on("fenced", file.to_str().unwrap(), "beside").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_write_of_a_stopped_holder_is_refused_by_postgres() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let url = server.create_database("log").await.unwrap();
    assert_refused(&stop_and_go_on("fenced", &url, "beside").await);
}

/// The lease is in Redis, which has no transactions that could refuse; what is written to does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_write_of_a_stopped_holder_by_redis_is_refused_by_sqlite() {
    let Some(server) = server_or_skip(PrivateRedis::start().await) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    assert_refused(&stop_and_go_on("fenced", file.to_str().unwrap(), &server.url()).await);
}

/// The same without the fence: the lease alone does not keep the late write out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn specimen_without_a_fence_writes_after_its_successor_and_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    let late = stop_and_go_on("unfenced", file.to_str().unwrap(), "beside").await;
    assert_eq!((&*late.said, &*late.log), ("WROTE", &[2, 1][..]));
    assert_eq!(overlap(&late.log), Some(0));
}

const _: () = assert!(STOPPED.as_millis() < TTL.as_millis());
