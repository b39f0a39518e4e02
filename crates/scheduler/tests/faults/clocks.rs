//! Hosts whose wall clocks are wrong.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use steadfast_clock::{Clock, ManualClock, SystemClock};
use steadfast_scheduler::{Cause, Fire, JobError, JobHandler, Scheduler};
use tokio::time::sleep;

use crate::database::{Database, Log, SOON, builder, job};

const MINUTES: Duration = Duration::from_secs(60);
/// Long enough for a slow machine, and much shorter than the clocks are apart.
const LEASE: Duration = Duration::from_secs(20);
/// Long enough for several polls.
const LONG: Duration = Duration::from_secs(5);

/// Logs its fires; those of one job take a while.
struct Handler(Log);

#[async_trait]
impl JobHandler for Handler {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        assert_eq!(fire.cause, Cause::Scheduled);
        let is_long = fire.key.as_str() == "long";
        self.0.run(fire).await?;
        if is_long {
            sleep(LONG).await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_ten_minutes_apart_claim_neither_early_nor_late_nor_twice() {
    let Some(database) = Database::start().await else {
        return;
    };
    let node = |owner: &str, wall: SystemTime| -> (Scheduler, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::ticking(wall));
        let handler = Arc::new(Handler(Log::new(&database.pool, owner)));
        let builder = builder(&database.pool, handler).owner(owner);
        let builder = builder.clock(clock.clone()).lease(LEASE);
        (builder.build().unwrap(), clock)
    };
    let wall = SystemClock.wall();
    let (ahead, clock_ahead) = node("ahead", wall + 5 * MINUTES);
    let (behind, clock_behind) = node("behind", wall - 5 * MINUTES);
    for number in 0..20 {
        let job = job(&format!("job {number}"), "@every 2s");
        let by = if number % 2 == 0 { &ahead } else { &behind };
        by.upsert(job).await.unwrap();
    }
    behind.upsert(job("long", "@every 2s")).await.unwrap();
    ahead.start().await;
    behind.start().await;
    database
        .until("SELECT COUNT(*) >= 50 FROM sched_run WHERE state = 'done'")
        .await;
    // Somebody sets them, by an hour and by a day.
    clock_ahead.shift_wall(3_600);
    clock_behind.shift_wall(-86_400);
    database
        .until("SELECT COUNT(*) >= 100 FROM sched_run WHERE state = 'done'")
        .await;
    database
        .until("SELECT EXISTS (SELECT FROM sched_run WHERE key = 'long' AND state = 'done')")
        .await;
    for node in [ahead, behind] {
        let report = node.shutdown(SOON).await;
        assert_eq!((report.aborted, report.abandoned), (0, 0));
    }
    let early = database
        .one("SELECT COUNT(*) FROM fired WHERE late_ms < -20")
        .await;
    assert_eq!(early, 0);
    let late: i64 = database.one("SELECT MAX(late_ms) FROM fired").await;
    assert!(late < MINUTES.as_millis() as i64, "{late} ms late");
    let twice = "SELECT COUNT(*) - COUNT(DISTINCT (key, scheduled_for)) FROM fired";
    assert_eq!(database.one(twice).await, 0);
    let taken = "SELECT COUNT(*) FROM sched_run WHERE attempts > 1";
    assert_eq!(
        database.one(taken).await,
        0,
        "no lease that was alive was taken"
    );
    let failed = "SELECT COUNT(*) FROM sched_run WHERE outcome <> 'succeeded'";
    assert_eq!(database.one(failed).await, 0);
}
