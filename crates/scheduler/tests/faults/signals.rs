//! Processes that are killed or stopped between the claim of a run and its end.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use steadfast_scheduler::{Execution, Fire, JobError, JobHandler, Outcome};
use steadfast_testkit::ChildProcess;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::database::{Database, Log, SOON, builder, connect, job, until};

/// As many jobs of each kind.
const JOBS: usize = 20;
const LEASE: Duration = Duration::from_secs(5);
/// What a process that is merely slow does not reach.
const STOPPED: Duration = Duration::from_secs(6);

/// Ends what is quick at once. Of the others it says that they run, and ends them, with an error,
/// when it has been stopped.
struct Victim(Log);

#[async_trait]
impl JobHandler for Victim {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        let key = fire.key.to_string();
        self.0.run(fire).await?;
        if key.starts_with("quick") {
            return Ok(());
        }
        println!("RUNS {key}");
        loop {
            let before = Instant::now();
            sleep(Duration::from_millis(50)).await;
            if before.elapsed() > STOPPED {
                return Err(JobError::new("went on after its lease"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Some(url) = ChildProcess::role() else {
        return;
    };
    let pool = connect(&url).await;
    let log = Log::new(&pool, "victim");
    let scheduler = builder(&pool, Arc::new(Victim(log))).owner("victim");
    let scheduler = scheduler.lease(LEASE).build().unwrap();
    scheduler.start().await;
    let go_on = async || {
        let told = "SELECT EXISTS (SELECT FROM fired WHERE owner = 'go on')";
        let told = sqlx::query_scalar::<_, bool>(told);
        told.fetch_one(&pool).await.unwrap()
    };
    until(go_on).await;
    let report = scheduler.shutdown(SOON).await;
    println!("REPORT {} {}", report.aborted, report.abandoned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_killed_process_go_on_as_their_execution_says() {
    let Some(database) = Database::start().await else {
        return;
    };
    let (idle, _) = database.idle_scheduler();
    for number in 0..JOBS {
        for kind in ["quick", "again", "once"] {
            let mut job = job(&format!("{kind} {number}"), "@yearly");
            if kind == "once" {
                job = job.execution(Execution::AtMostOnce);
            }
            let key = job.key.clone();
            idle.upsert(job).await.unwrap();
            idle.run_now(&key).await.unwrap();
        }
    }
    let mut victim = ChildProcess::start("signals::victim", &database.server.url()).unwrap();
    database
        .until(
            "SELECT COUNT(*) FILTER (WHERE state = 'done') = 20
               AND (SELECT COUNT(*) FROM fired) = 60 FROM sched_run",
        )
        .await;
    victim.send("KILL");
    victim.wait();

    let log = Arc::new(Log::new(&database.pool, "heir"));
    let heir = builder(&database.pool, log).owner("heir");
    let heir = heir.lease(SOON).build().unwrap();
    let leases: i64 = database
        .one("SELECT MIN(lease_until) FROM sched_run WHERE finished_at IS NULL")
        .await;
    heir.start().await;
    database
        .until("SELECT COUNT(*) = 60 FROM sched_run WHERE state = 'done'")
        .await;
    for (kind, outcome, attempts, fires) in [
        ("quick", Outcome::Succeeded, 1, 1),
        ("again", Outcome::Succeeded, 2, 2),
        ("once", Outcome::Abandoned, 1, 1),
    ] {
        for number in 0..JOBS {
            let key = format!("{kind} {number}");
            let status = heir.status(&key.as_str().into()).await.unwrap().unwrap();
            assert_eq!(status.last.unwrap().outcome, outcome, "{key}");
            let seen: (i32, i64) = sqlx::query_as(
                "SELECT attempts, (SELECT COUNT(*) FROM fired WHERE key = $1)
                 FROM sched_run WHERE key = $1",
            )
            .bind(&key)
            .fetch_one(&database.pool)
            .await
            .unwrap();
            assert_eq!(seen, (attempts, fires), "{key}");
        }
    }
    let first: i64 = database
        .one("SELECT MIN(scheduled_for + late_ms) FROM fired WHERE owner = 'heir'")
        .await;
    assert!(
        first >= leases,
        "{first} is before the leases end: {leases}"
    );
    let fences: i64 = database
        .one(
            "SELECT (SELECT MIN(fence) FROM fired WHERE owner = 'heir')
               - (SELECT MAX(fence) FROM fired WHERE owner = 'victim')",
        )
        .await;
    assert!(fences > 0);
    heir.shutdown(SOON).await;
}

/// Says when it is called, and ends when it is let.
#[derive(Default)]
struct Heir {
    called: Notify,
    end: Notify,
}

#[async_trait]
impl JobHandler for Heir {
    async fn run(&self, _: Fire) -> Result<(), JobError> {
        self.called.notify_one();
        self.end.notified().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_by_a_process_that_was_stopped_past_its_lease_is_rejected() {
    let Some(database) = Database::start().await else {
        return;
    };
    let (idle, _) = database.idle_scheduler();
    idle.upsert(job("stopped", "@yearly")).await.unwrap();
    idle.run_now(&"stopped".into()).await.unwrap();
    let mut victim = ChildProcess::start("signals::victim", &database.server.url()).unwrap();
    victim.hear("RUNS stopped");
    victim.send("STOP");
    let stopped = Instant::now();

    let handler = Arc::new(Heir::default());
    let heir = builder(&database.pool, handler.clone()).owner("heir");
    let heir = heir.lease(SOON).build().unwrap();
    heir.start().await;
    timeout(SOON, handler.called.notified()).await.unwrap();
    // Its own clock must say so, too.
    until(async || stopped.elapsed() > 2 * STOPPED).await;
    database
        .execute("INSERT INTO fired VALUES ('', 0, 0, 'go on')")
        .await;
    victim.send("CONT");
    assert!(victim.wait().success());
    assert!(victim.said().contains(&"REPORT 0 0".to_owned()));

    let run: (String, String, i32) = sqlx::query_as("SELECT owner, state, attempts FROM sched_run")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(run, ("heir".into(), "running".into(), 2), "left alone");
    handler.end.notify_one();
    database
        .until("SELECT COUNT(*) = 1 FROM sched_run WHERE outcome = 'succeeded'")
        .await;
    let status = heir.status(&"stopped".into()).await.unwrap().unwrap();
    assert_eq!(status.last.unwrap().outcome, Outcome::Succeeded);
    heir.shutdown(SOON).await;
}
