//! The store on a private Postgres server: rows that somebody else wrote, and what other processes
//! tell.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use sqlx::PgPool;
use steadfast_clock::{Clock, SystemClock};
use steadfast_scheduler::{
    Behaviour, ClaimRequest, Claimed, Ending, FinishedRun, Job, JobStore, MIGRATIONS, Outcome,
    PostgresJobStore, Recorder, Run, Scheduler, conformance,
};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tokio::{
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::fixture::{at, job};

/// How long something is waited for that must happen.
const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Rows {
    pub(crate) pool: PgPool,
    pub(crate) store: PostgresJobStore,
    _server: PrivatePostgres,
}

impl Rows {
    pub(crate) async fn start() -> Option<Self> {
        let server = server_or_skip(PrivatePostgres::start().await)?;
        let pool = PgPool::connect(&server.url()).await.unwrap();
        for (_, _, postgres) in MIGRATIONS {
            sqlx::raw_sql(*postgres).execute(&pool).await.unwrap();
        }
        Some(Self {
            store: PostgresJobStore::new(pool.clone()),
            pool,
            _server: server,
        })
    }

    /// The hourly jobs `good` and `bad`, at half past midnight, and nothing else.
    pub(crate) async fn reset(&self) {
        self.execute("TRUNCATE sched_job, sched_run").await;
        for key in ["good", "bad"] {
            self.upsert(&hourly(key)).await;
        }
    }

    pub(crate) async fn upsert(&self, job: &Job) -> bool {
        let upserted = self.store.upsert("ns", job, at("00:30:00")).await;
        upserted.unwrap().changed
    }

    async fn execute(&self, statement: &str) {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn claim(&self, now: Timestamp) -> Claimed {
        self.store.claim_due(&request("a", now)).await.unwrap()
    }

    pub(crate) async fn claimed_keys(&self, now: Timestamp) -> Vec<String> {
        let mut keys = Vec::new();
        // What let its lease end is claimed apart from what is due.
        for _ in 0..2 {
            let claimed = self.claim(now).await;
            keys.extend(claimed.runs.iter().map(|run| run.id.key.to_string()));
        }
        keys
    }

    pub(crate) async fn finish(&self, run: &Run, outcome: Outcome) {
        let finished = FinishedRun {
            id: run.id.clone(),
            ending: Ending::Done(outcome),
        };
        let runs = [finished];
        let finish = self.store.finish("ns", "a", &runs, at("01:00:01"));
        finish.await.unwrap();
    }

    /// Waits until this many sessions wait for locks, or the task has ended.
    pub(crate) async fn until_waiting(&self, sessions: i64, task: &AbortHandle) {
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        let wait = async {
            while self.count(waiting).await < sessions && !task.is_finished() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, wait).await.unwrap();
    }

    /// How many rows a query counts.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let count = sqlx::query_scalar(query).fetch_one(&self.pool).await;
        count.unwrap()
    }
}

pub(crate) fn hourly(key: &str) -> Job {
    job(key, "0 * * * *")
}

pub(crate) fn request(owner: &str, now: Timestamp) -> ClaimRequest {
    ClaimRequest {
        namespace: "ns".into(),
        owner: owner.into(),
        now,
        lease_until: now + Duration::from_secs(10),
        grace: Duration::from_secs(60),
        limit: 10,
    }
}

#[tokio::test]
async fn postgres_store_conforms() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    conformance::check_all(Arc::new(rows.store)).await;
}

#[tokio::test]
async fn unreadable_job_is_set_aside_and_mended_by_an_upsert() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    for (column, value) in [
        ("spec", "'nonsense'"),
        ("dialect", "'nonsense'"),
        ("tz", "'Mars/Olympus_Mons'"),
        ("policy", "'nonsense'"),
        ("busy_from", "9223372036854775807"),
        ("last_outcome", "'nonsense'"),
    ] {
        rows.reset().await;
        rows.execute(&format!(
            "UPDATE sched_job SET {column} = {value} WHERE key = 'bad'"
        ))
        .await;
        assert_eq!(
            rows.claimed_keys(at("01:00:00")).await,
            ["good"],
            "{column}"
        );
        let bad = "bad".into();
        let status = rows.store.status("ns", &bad, at("01:00:00"));
        assert!(status.await.is_err(), "{column}");

        assert!(rows.upsert(&hourly("bad")).await, "{column}");
        assert_eq!(rows.claimed_keys(at("01:00:00")).await, ["bad"], "{column}");
    }
}

#[tokio::test]
async fn job_set_aside_by_another_version_is_due_again_after_an_equal_upsert() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    rows.reset().await;
    rows.execute("UPDATE sched_job SET spec = 'of the future ' || spec WHERE key = 'bad'")
        .await;
    assert_eq!(rows.claimed_keys(at("01:00:00")).await, ["good"]);
    rows.execute("UPDATE sched_job SET spec = replace(spec, 'of the future ', '')")
        .await;
    assert!(!rows.upsert(&hourly("bad")).await, "nothing has changed");
    assert_eq!(rows.claimed_keys(at("01:00:01")).await, ["bad"]);
}

#[tokio::test]
async fn unreadable_run_ends_and_keeps_neither_its_namespace_nor_its_job_from_going_on() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    for (column, value) in [
        ("cause", "'nonsense'"),
        ("scheduled_for", "9223372036854775807"),
    ] {
        rows.reset().await;
        assert_eq!(rows.claim(at("01:00:00")).await.runs.len(), 2);
        rows.execute(&format!(
            "UPDATE sched_run SET {column} = {value} WHERE key = 'bad'"
        ))
        .await;
        let again = rows.claimed_keys(at("01:00:10")).await;
        assert_eq!(again, ["good"], "{column}");
        let bad = rows.store.status("ns", &"bad".into(), at("01:00:10")).await;
        assert_eq!(bad.unwrap().unwrap().running, 0, "{column}");
        let next = rows.claimed_keys(at("02:00:00")).await;
        assert!(next.contains(&"bad".into()), "{column}: {next:?}");
    }
}

#[tokio::test]
async fn absurd_instants_do_not_hide_what_is_due() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    for (table, column) in [("sched_job", "due_at"), ("sched_run", "lease_until")] {
        for instant in ["-9223372036854775808", "9223372036854775807"] {
            rows.reset().await;
            if table == "sched_run" {
                assert_eq!(rows.claim(at("01:00:00")).await.runs.len(), 2);
            }
            rows.execute(&format!(
                "UPDATE {table} SET {column} = {instant} WHERE key = 'bad'"
            ))
            .await;
            let keys = rows.claimed_keys(at("01:00:10")).await;
            assert!(
                keys.contains(&"good".into()),
                "{column} {instant}: {keys:?}"
            );
        }
    }
}

#[tokio::test]
async fn message_with_a_nul_character_does_not_keep_a_run_from_ending() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    rows.reset().await;
    let run = rows.claim(at("01:00:00")).await.runs.remove(0);
    let message = "before\0after".to_owned();
    rows.finish(&run, Outcome::Failed { message }).await;
    let status = rows.store.status("ns", &run.id.key, at("01:00:01")).await;
    let last = status.unwrap().unwrap().last.unwrap();
    let message = "before\u{fffd}after".to_owned();
    assert_eq!(last.outcome, Outcome::Failed { message });
}

fn scheduler(rows: &Rows, owner: &str, poll: u64) -> (Scheduler, Arc<Recorder>) {
    let handler = Arc::new(Recorder::new(Behaviour::Succeed));
    let store = Arc::new(rows.store.clone());
    let builder = Scheduler::builder("live", store, handler.clone()).owner(owner);
    let scheduler = builder.poll(Duration::from_secs(poll)).build().unwrap();
    (scheduler, handler)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_by_another_process_is_noticed_before_the_poll() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    let (changing, _) = scheduler(&rows, "changing", 30);
    let (running, handler) = scheduler(&rows, "running", 30);
    running.start().await;
    wait_for_a_listener(&rows.pool).await;
    let began = SystemClock.monotonic();
    for fires in 1..=5 {
        let job = job(&format!("job {fires}"), "@yearly");
        let key = job.key.clone();
        changing.upsert(job).await.unwrap();
        changing.run_now(&key).await.unwrap();
        timeout(SOON, handler.wait_for_fires(fires)).await.unwrap();
    }
    assert!(
        SystemClock.monotonic() - began < Duration::from_secs(20),
        "by the poll"
    );
    running.shutdown(SOON).await;
}

async fn wait_for_a_listener(pool: &PgPool) {
    let listens = "SELECT COUNT(*) FROM pg_stat_activity WHERE query = 'LISTEN \"sched_due\"'";
    let wait = async {
        while sqlx::query_scalar::<_, i64>(listens)
            .fetch_one(pool)
            .await
            .unwrap()
            == 0
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap();
}
