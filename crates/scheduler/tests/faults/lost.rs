//! Messages that are lost on their way.

use std::{sync::Arc, time::Duration};

use steadfast_scheduler::{Behaviour, Job, JobKey, Outcome, Recorder, Scheduler};
use steadfast_testkit::{Fault, FaultProxy};
use tokio::time::timeout;

use crate::database::{Database, SOON, builder, connect, job};

/// Holds up commits of claims and ends of runs, at the last moment, while somebody has the lock 42.
const HOLD_UP_COMMITS: &str = "
CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT OR UPDATE OF state ON sched_run
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_up();";

/// Long enough for a slow machine.
const LEASE: Duration = Duration::from_secs(8);

const IS_HELD_UP: &str =
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)";

/// A scheduler behind a proxy, and its fires.
struct Behind {
    database: Database,
    proxy: FaultProxy,
    scheduler: Scheduler,
    handler: Arc<Recorder>,
}

impl Behind {
    async fn start(lease: Duration) -> Option<Self> {
        let database = Database::start().await?;
        database.execute(HOLD_UP_COMMITS).await;
        let address = ([127, 0, 0, 1], database.server.port()).into();
        let proxy = FaultProxy::start(address).await.unwrap();
        let url = format!("postgres://postgres@{}/postgres", proxy.addr());
        let handler = Arc::new(Recorder::new(Behaviour::Succeed));
        let scheduler = builder(&connect(&url).await, handler.clone());
        let scheduler = scheduler.lease(lease).build().unwrap();
        Some(Self {
            database,
            proxy,
            scheduler,
            handler,
        })
    }

    async fn run_now(&self, job: Job) -> JobKey {
        let key = job.key.clone();
        let (idle, _) = self.database.idle_scheduler();
        idle.upsert(job).await.unwrap();
        idle.run_now(&key).await.unwrap();
        key
    }

    /// Has the commit that `act` leads to done and its confirmation lost.
    async fn lose_the_reply(&self, act: impl AsyncFnOnce(), is_committed: &'static str) {
        let mut holder = self.database.pool.acquire().await.unwrap();
        let mut act = Some(act);
        for _ in 0..10 {
            let lock = "SELECT pg_advisory_lock(42)";
            sqlx::raw_sql(lock).execute(&mut *holder).await.unwrap();
            if let Some(act) = act.take() {
                act().await;
            }
            self.database.until(IS_HELD_UP).await;
            self.proxy.set(Fault::DropAnswers).await.unwrap();
            let unlock = "SELECT pg_advisory_unlock(42)";
            sqlx::raw_sql(unlock).execute(&mut *holder).await.unwrap();
            self.database
                .until("SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')")
                .await;
            let committed = sqlx::query_scalar(is_committed);
            let is_committed: bool = committed.fetch_one(&self.database.pool).await.unwrap();
            self.proxy.set(Fault::Forward).await.unwrap();
            if is_committed {
                return;
            }
            // So slow a machine that the transaction has given up: it is tried again.
        }
        panic!("no commit lost its reply");
    }

    async fn assert_ends(&self, key: &JobKey, outcome: Outcome, attempts: i64, fires: usize) {
        self.database
            .until("SELECT COUNT(*) = 1 FROM sched_run WHERE state = 'done'")
            .await;
        let (idle, _) = self.database.idle_scheduler();
        let status = idle.status(key).await.unwrap().unwrap();
        assert_eq!((status.running, status.last.unwrap().outcome), (0, outcome));
        let seen = "SELECT MAX(attempts)::int8 FROM sched_run";
        assert_eq!(self.database.one(seen).await, attempts);
        assert_eq!(self.handler.fires().len(), fires);
        // And the job goes on.
        idle.run_now(key).await.unwrap();
        timeout(SOON, self.handler.wait_for_fires(fires + 1))
            .await
            .unwrap();
        let report = self.scheduler.shutdown(SOON).await;
        assert_eq!((report.aborted, report.abandoned), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claim_whose_reply_is_lost_is_claimed_again_after_its_lease() {
    let Some(behind) = Behind::start(LEASE).await else {
        return;
    };
    let key = behind.run_now(job("job", "@yearly")).await;
    let start = async || behind.scheduler.start().await;
    let claimed = "SELECT EXISTS (SELECT FROM sched_run)";
    behind.lose_the_reply(start, claimed).await;
    behind.assert_ends(&key, Outcome::Succeeded, 2, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claim_whose_reply_is_lost_is_given_up_if_it_runs_at_most_once() {
    let Some(behind) = Behind::start(LEASE).await else {
        return;
    };
    let job = job("job", "@yearly").execution(steadfast_scheduler::Execution::AtMostOnce);
    let key = behind.run_now(job).await;
    let start = async || behind.scheduler.start().await;
    let claimed = "SELECT EXISTS (SELECT FROM sched_run)";
    behind.lose_the_reply(start, claimed).await;
    behind.assert_ends(&key, Outcome::Abandoned, 1, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_whose_reply_is_lost_is_stored_once() {
    let Some(behind) = Behind::start(LEASE).await else {
        return;
    };
    // It goes on until the replies are lost.
    behind.handler.behave(Behaviour::UntilCancelled);
    let key = behind.run_now(job("job", "@yearly")).await;
    behind.scheduler.start().await;
    let fire = behind.handler.wait_for_fires(1).await.remove(0);
    behind.handler.behave(Behaviour::Succeed);
    let end = async || fire.cancel.cancel();
    let ended = "SELECT EXISTS (SELECT FROM sched_run WHERE state = 'done')";
    behind.lose_the_reply(end, ended).await;
    behind.assert_ends(&key, Outcome::Succeeded, 1, 1).await;
}

/// Nothing is told of what is changed beside the store, as if the notice had been lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_whose_notice_is_lost_is_found_by_the_poll() {
    let Some(behind) = Behind::start(SOON).await else {
        return;
    };
    behind.scheduler.start().await;
    let (idle, _) = behind.database.idle_scheduler();
    idle.upsert(job("job", "@yearly")).await.unwrap();
    for fires in 1..=5 {
        let change = "UPDATE sched_job SET manual_wanted = TRUE, due_at = 0,
            manual_for = coalesce(manual_for, 0) + 1";
        behind.database.execute(change).await;
        // No lease ends before, and stores of one host are polled half as often.
        let wait = timeout(
            Duration::from_secs(15),
            behind.handler.wait_for_fires(fires),
        );
        wait.await.unwrap();
        behind
            .database
            .until("SELECT COUNT(*) = 0 FROM sched_run WHERE state <> 'done'")
            .await;
    }
    behind.scheduler.shutdown(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_for_notices_is_made_again_when_it_is_lost() {
    let Some(behind) = Behind::start(SOON).await else {
        return;
    };
    behind.scheduler.start().await;
    for _ in 0..5 {
        let listens = "SELECT EXISTS (
            SELECT FROM pg_stat_activity WHERE query = 'LISTEN \"sched_due\"')";
        behind.database.until(listens).await;
        let killed = behind
            .database
            .one(
                "SELECT COUNT(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
                 WHERE query = 'LISTEN \"sched_due\"'",
            )
            .await;
        assert_eq!(killed, 1);
    }
    behind.scheduler.shutdown(SOON).await;
    behind
        .database
        .until("SELECT COUNT(*) = 0 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        .await;
}
