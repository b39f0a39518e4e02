//! A real process that is killed between the claim of runs and their end.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqlitePool;
use steadfast_scheduler::{
    Behaviour, Execution, Fire, JobError, JobHandler, Outcome, Recorder, Scheduler, SqliteJobStore,
};
use tokio::time::sleep;

use crate::{
    fixture::job,
    stores::{sqlite_pool, sqlite_pool_at},
};

/// Tells the process started by the test where the file is.
const FILE: &str = "STEADFAST_SCHEDULER_KILLED_FILE";
/// As many jobs of each kind.
const JOBS: usize = 10;
const LEASE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn occurrences_of_a_killed_process_are_run_after_their_lease_and_finished_once() {
    if let Some(file) = std::env::var_os(FILE) {
        work_until_killed(file.as_ref()).await;
    }
    let (pool, folder) = sqlite_pool(2).await;
    let name =
        "killed::occurrences_of_a_killed_process_are_run_after_their_lease_and_finished_once";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FILE, folder.path().join("scheduler.db"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_runs(&pool, JOBS, 2 * JOBS).await;
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    let leases: (i64, i64) = sqlx::query_as(
        "SELECT MIN(lease_until), MAX(fence) FROM sched_run WHERE state = 'running'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();

    let handler = Arc::new(Recorder::new(Behaviour::Succeed));
    let store = Arc::new(SqliteJobStore::new(pool.clone()));
    let heir = Scheduler::builder("ns", store, handler.clone()).lease(LEASE);
    let heir = heir.poll(Duration::from_millis(100)).build().unwrap();
    heir.start().await;
    wait_for_runs(&pool, 3 * JOBS, 0).await;
    let mut fires = handler.fires();
    fires.sort_by_key(|fire| fire.key.to_string());
    let keys: Vec<&str> = fires.iter().map(|fire| fire.key.as_str()).collect();
    let expected: Vec<String> = (0..JOBS).map(|number| format!("again {number}")).collect();
    assert_eq!(keys, expected, "each once");
    for fire in &fires {
        let started = fire.scheduled_for + fire.late;
        assert!(
            started >= Timestamp::from_millisecond(leases.0).unwrap(),
            "before its lease ended"
        );
        assert!(fire.fence > leases.1 as u64);
    }
    for (kind, outcome, attempts) in [
        ("quick", Outcome::Succeeded, 1),
        ("again", Outcome::Succeeded, 2),
        ("once", Outcome::Abandoned, 1),
    ] {
        for number in 0..JOBS {
            let key = format!("{kind} {number}");
            let status = heir.status(&key.as_str().into()).await.unwrap().unwrap();
            assert_eq!(status.last.unwrap().outcome, outcome, "{key}");
            let runs: Vec<(String, i64)> =
                sqlx::query_as("SELECT state, attempts FROM sched_run WHERE key = ?1")
                    .bind(&key)
                    .fetch_all(&pool)
                    .await
                    .unwrap();
            assert_eq!(runs, [("done".into(), attempts)], "{key}");
        }
    }
    heir.shutdown(Duration::from_secs(5)).await;
}

/// Waits until this many runs are done, and this many at work.
async fn wait_for_runs(pool: &SqlitePool, done: usize, running: usize) {
    let mut counts = (0, 0);
    while counts != (done as i64, running as i64) {
        sleep(Duration::from_millis(5)).await;
        counts = sqlx::query_as(
            "SELECT COUNT(*) FILTER (WHERE state = 'done'),
                    COUNT(*) FILTER (WHERE state = 'running') FROM sched_run",
        )
        .fetch_one(pool)
        .await
        .unwrap();
    }
}

/// Ends what is quick at once, and nothing else ever.
struct Stuck;

#[async_trait]
impl JobHandler for Stuck {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        if !fire.key.as_str().starts_with("quick") {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

async fn work_until_killed(file: &Path) -> ! {
    let store = Arc::new(SqliteJobStore::new(sqlite_pool_at(file, 2).await));
    let scheduler = Scheduler::builder("ns", store, Arc::new(Stuck)).lease(LEASE);
    let scheduler = scheduler.build().unwrap();
    for number in 0..JOBS {
        for kind in ["quick", "again", "once"] {
            let mut job = job(&format!("{kind} {number}"), "@yearly");
            if kind == "once" {
                job = job.execution(Execution::AtMostOnce);
            }
            let key = job.key.clone();
            scheduler.upsert(job).await.unwrap();
            scheduler.run_now(&key).await.unwrap();
        }
    }
    scheduler.start().await;
    sleep(Duration::from_secs(60)).await;
    panic!("nobody has killed it");
}
