//! Processes that compete for what falls due in the same second.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use steadfast_scheduler::{Fire, JobError, JobHandler};
use steadfast_testkit::ChildProcess;
use tokio::{sync::OnceCell, time::sleep};

use crate::database::{Database, Log, SOON, builder, connect};

const OCCURRENCES: i64 = 2_000;

/// At most as many runs of a process are at work before all processes take part.
const CONCURRENCY: usize = 100;

/// Logs its fires; the first one waits for those of all other processes.
struct Contender {
    log: Log,
    pool: sqlx::PgPool,
    processes: i64,
    all_here: OnceCell<()>,
}

impl Contender {
    async fn wait_for_all(&self) {
        let owners = "SELECT COUNT(DISTINCT owner) FROM fired";
        while sqlx::query_scalar::<_, i64>(owners)
            .fetch_one(&self.pool)
            .await
            .unwrap()
            < self.processes
        {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[async_trait]
impl JobHandler for Contender {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        self.log.run(fire).await?;
        self.all_here.get_or_init(|| self.wait_for_all()).await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contender() {
    let Some(role) = ChildProcess::role() else {
        return;
    };
    let [processes, owner, url] = role.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{role}");
    };
    let pool = connect(url).await;
    let handler = Contender {
        log: Log::new(&pool, owner),
        pool: pool.clone(),
        processes: processes.parse().unwrap(),
        all_here: OnceCell::new(),
    };
    let scheduler = builder(&pool, Arc::new(handler)).owner(owner);
    // No process may seem to be dead because the machine is slow.
    let scheduler = scheduler.lease(SOON).max_concurrency(CONCURRENCY);
    let scheduler = scheduler.build().unwrap();
    scheduler.start().await;
    println!("READY");
    std::future::pending().await
}

async fn compete(processes: usize) {
    assert!((processes * CONCURRENCY) < OCCURRENCES as usize);
    let Some(database) = Database::start().await else {
        return;
    };
    let role = |number| format!("{processes} owner-{number} {}", database.server.url());
    let start = |number| ChildProcess::start("competing::contender", &role(number)).unwrap();
    let mut children: Vec<ChildProcess> = (0..processes).map(start).collect();
    for child in &mut children {
        child.hear("READY");
    }
    database
        .fall_due_in(Duration::from_secs(3), OCCURRENCES)
        .await;
    database
        .until("SELECT COUNT(*) >= 2000 FROM sched_run WHERE state = 'done'")
        .await;
    database.assert_each_once(OCCURRENCES).await;
    let owners = "SELECT COUNT(DISTINCT owner) FROM sched_run";
    assert_eq!(database.one(owners).await, processes as i64);
    let fences = "SELECT COUNT(DISTINCT fence) FROM sched_run";
    assert_eq!(database.one(fences).await, OCCURRENCES);
    let early = "SELECT COUNT(*) FROM fired WHERE late_ms < 0";
    assert_eq!(database.one(early).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_claim_each_of_2_000_occurrences_once() {
    compete(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_claim_each_of_2_000_occurrences_once() {
    compete(8).await;
}
