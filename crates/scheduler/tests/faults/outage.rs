//! A database that is down while something falls due.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use steadfast_clock::{Clock, SystemClock};
use steadfast_scheduler::{Fire, JobError, JobHandler, Outcome};
use tokio::{sync::Notify, time::timeout};

use crate::database::{Database, SOON, builder, job, until};

const JOBS: i64 = 50;

/// The server is down for longer than a lease.
const LEASE: Duration = Duration::from_secs(5);
const UNTIL_DUE: Duration = Duration::from_secs(8);

/// Ends at once, but for one job, which ends when it is let.
#[derive(Default)]
struct Handler {
    called: Notify,
    end: Notify,
}

#[async_trait]
impl JobHandler for Handler {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        if fire.key.as_str() == "at work" {
            self.called.notify_one();
            self.end.notified().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_falls_due_while_the_database_is_down_fires_when_it_is_back() {
    let Some(database) = Database::start().await else {
        return;
    };
    let handler = Arc::new(Handler::default());
    let scheduler = builder(&database.pool, handler.clone());
    let scheduler = scheduler.lease(LEASE).build().unwrap();
    scheduler.start().await;
    scheduler.upsert(job("at work", "@yearly")).await.unwrap();
    scheduler.run_now(&"at work".into()).await.unwrap();
    timeout(SOON, handler.called.notified()).await.unwrap();
    let second = database.fall_due_in(UNTIL_DUE, JOBS).await;
    assert!(database.now().await < second);
    database.server.kill();
    handler.end.notify_one();
    // The server is of this host.
    let now = || Timestamp::try_from(SystemClock.wall()).unwrap();
    until(async || now() >= second + Duration::from_secs(2)).await;
    database.server.restart().await.unwrap();

    let all_done = async || {
        let done = "SELECT COUNT(*) FROM sched_run WHERE outcome = 'succeeded' AND attempts = 1";
        let done = sqlx::query_scalar::<_, i64>(done);
        // The pool may have to find out that its connections are dead.
        let done = done.fetch_one(&database.pool).await;
        done.is_ok_and(|done| done > JOBS)
    };
    timeout(SOON, until(all_done)).await.unwrap();
    let slots = "SELECT COUNT(*) FROM sched_run WHERE cause = 'scheduled'";
    assert_eq!(database.one(slots).await, JOBS, "each once, and no misfire");
    let status = scheduler.status(&"at work".into()).await.unwrap().unwrap();
    assert_eq!(status.last.unwrap().outcome, Outcome::Succeeded);
    let report = scheduler.shutdown(SOON).await;
    assert_eq!((report.aborted, report.abandoned), (0, 0));
}
