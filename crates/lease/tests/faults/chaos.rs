//! Five candidates for one lease while their processes or their server are hurt at random. What
//! they wrote is then checked: nobody wrote after a successor had.

use std::{path::Path, sync::Arc, time::Duration};

use steadfast_lease::{LeaseContext, LeaseLock, LockBackend, PostgresBackend, SqliteBackend};
use steadfast_testkit::{ChildProcess, FaultProxy, PrivatePostgres, Random, seed, server_or_skip};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    KEY,
    hurt::{MAX_FAULT, for_soak_time, hurt, pause},
    log::{Failed, Log, Writes, overlap},
};

pub(crate) const CANDIDATES: usize = 5;
/// Short, so that a fault is often longer.
const TTL: Duration = Duration::from_secs(1);

/// Leads again and again; each term writes for a while, as fast as it can.
async fn candidate(lock: LeaseLock, log: Log, mut random: Random) {
    loop {
        let writes = random.below(100);
        let work = async |cx: LeaseContext| write_on(&log, cx, writes).await;
        // Lost, or the database is not there: try again.
        let _ = lock.run(work).await;
        sleep(Duration::from_millis(random.below(200))).await;
    }
}

async fn write_on(log: &Log, cx: LeaseContext, writes: u64) {
    for _ in 0..writes {
        // As careless as can be: it does not even look whether the lease still holds.
        if let Err(Failed::Refused) = log.write(Writes::Fenced, cx.fence()).await {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn short_lock(backend: Arc<dyn LockBackend>, owner: &str) -> LeaseLock {
    let lock = LeaseLock::builder(backend, KEY, owner).ttl(TTL);
    let lock = lock.acquire_timeout(Duration::from_secs(600));
    lock.build().unwrap()
}

/// Who wrote, if nobody wrote after a successor had.
pub(crate) fn checked(fences: &[i64]) -> usize {
    assert_eq!(overlap(fences), None, "{fences:?}");
    let mut holders = fences.to_vec();
    holders.dedup();
    holders.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process() {
    let Some(role) = ChildProcess::role() else {
        return;
    };
    let (number, file) = role.split_once(' ').unwrap();
    let log = Log::sqlite(Path::new(file)).await;
    let Log::Sqlite(pool) = &log else { return };
    let lock = short_lock(Arc::new(SqliteBackend::new(pool.clone())), number);
    candidate(lock, log, Random::new(number.parse().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_stopped_and_killed_never_overlap_on_sqlite() {
    let mut random = Random::new(seed());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    let log = Log::sqlite(&file).await;
    log.create_tables().await;
    let start = |number: u64| {
        let role = format!("{number} {}", file.display());
        ChildProcess::start("chaos::process", &role).unwrap()
    };
    let mut processes: Vec<_> = (0..CANDIDATES as u64).map(start).collect();
    let mut faults = 0;
    for_soak_time(async || {
        let victim = random.below(CANDIDATES as u64) as usize;
        if random.below(3) == 0 {
            // Dropped, the old one is killed.
            processes[victim] = start(random.below(1 << 32));
        } else {
            processes[victim].send("STOP");
            pause(random.below(MAX_FAULT)).await;
            processes[victim].send("CONT");
        }
        pause(random.below(300)).await;
        faults += 1;
    })
    .await;
    drop(processes);
    let fences = log.fences().await;
    let holders = checked(&fences);
    println!(
        "{faults} faults, {holders} holders, {} writes",
        fences.len()
    );
    assert!(faults >= 5 && holders >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_whose_postgres_is_hurt_never_overlap() {
    let Some(server) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let url = server.create_database("log").await.unwrap();
    let direct = Log::postgres(&url);
    direct.create_tables().await;
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let through = format!("postgres://postgres@{}/log", proxy.addr());
    let mut random = Random::new(seed());
    let mut candidates = JoinSet::new();
    for index in 0..CANDIDATES {
        let log = Log::postgres(&through);
        let Log::Postgres(pool) = &log else { continue };
        let backend = Arc::new(PostgresBackend::new(pool.clone()));
        let lock = short_lock(backend, &index.to_string());
        candidates.spawn(candidate(lock, log, Random::new(random.below(1 << 32))));
    }
    let mut faults = 0;
    for_soak_time(async || {
        hurt(&server, &proxy, &mut random).await;
        // The database is reached again, or the server is not what this is about.
        let back = timeout(Duration::from_secs(30), direct.fences());
        back.await.unwrap();
        pause(random.below(1_000)).await;
        faults += 1;
    })
    .await;
    candidates.shutdown().await;
    let fences = direct.fences().await;
    let holders = checked(&fences);
    println!(
        "{faults} faults, {holders} holders, {} writes",
        fences.len()
    );
    assert!(faults >= 3 && holders >= 2);
}
