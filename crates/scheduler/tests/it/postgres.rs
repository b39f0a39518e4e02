//! The store on a private Postgres server: rows that somebody else wrote or has locked, races, and
//! what other processes tell.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;
use steadfast_clock::{Clock, SystemClock};
use steadfast_scheduler::{
    Behaviour, ClaimRequest, Claimed, Ending, FinishedRun, Job, JobStore, MIGRATIONS, Outcome,
    PostgresJobStore, Recorder, Run, Scheduler, conformance,
};
use steadfast_testkit::{PrivatePostgres, server_or_skip};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::fixture::{at, job};

/// How long something is waited for that must happen.
const SOON: Duration = Duration::from_secs(60);

struct Rows {
    pool: PgPool,
    store: PostgresJobStore,
    _server: PrivatePostgres,
}

impl Rows {
    async fn start() -> Option<Self> {
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
    async fn reset(&self) {
        self.execute("TRUNCATE sched_job, sched_run").await;
        for key in ["good", "bad"] {
            self.upsert(&hourly(key)).await;
        }
    }

    async fn upsert(&self, job: &Job) -> bool {
        let upserted = self.store.upsert("ns", job, at("00:30:00")).await;
        upserted.unwrap().changed
    }

    async fn execute(&self, statement: &str) {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    async fn claim(&self, now: Timestamp) -> Claimed {
        self.store.claim_due(&request("a", now)).await.unwrap()
    }

    async fn claimed_keys(&self, now: Timestamp) -> Vec<String> {
        let mut keys = Vec::new();
        // What let its lease end is claimed apart from what is due.
        for _ in 0..2 {
            let claimed = self.claim(now).await;
            keys.extend(claimed.runs.iter().map(|run| run.id.key.to_string()));
        }
        keys
    }

    async fn finish(&self, run: &Run, outcome: Outcome) {
        let finished = FinishedRun {
            id: run.id.clone(),
            ending: Ending::Done(outcome),
        };
        let runs = [finished];
        let finish = self.store.finish("ns", "a", &runs, at("01:00:01"));
        finish.await.unwrap();
    }

    /// How many rows a query counts.
    async fn count(&self, query: &'static str) -> i64 {
        let count = sqlx::query_scalar(query).fetch_one(&self.pool).await;
        count.unwrap()
    }
}

fn hourly(key: &str) -> Job {
    job(key, "0 * * * *")
}

fn request(owner: &str, now: Timestamp) -> ClaimRequest {
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

#[tokio::test]
async fn what_others_have_locked_is_left_to_them_and_looked_at_again_soon() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    rows.reset().await;
    let mut other = rows.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sched_job WHERE key = 'bad' FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(rows.claimed_keys(at("01:00:00")).await, ["good"]);
    let claimed = rows.claim(at("01:00:00")).await;
    let next = claimed.next_due.unwrap();
    assert!(claimed.runs.is_empty());
    assert!(
        next > at("01:00:00") && next < at("01:00:01"),
        "neither at once nor late: {next}"
    );
    other.rollback().await.unwrap();
    assert_eq!(rows.claimed_keys(at("01:00:00")).await, ["bad"]);

    // The same with the run of a lease that has ended.
    let mut other = rows.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sched_run FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    let claimed = rows.claim(at("01:00:10")).await;
    assert!(claimed.runs.is_empty() && claimed.next_due.unwrap() > at("01:00:10"));
    other.rollback().await.unwrap();
    assert_eq!(rows.claim(at("01:00:10")).await.runs.len(), 2);
}

#[tokio::test]
async fn lock_that_is_held_for_too_long_is_a_transient_error() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    rows.reset().await;
    let mut other = rows.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sched_job FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    let removed = rows.store.remove("ns", &"bad".into()).await;
    let error = removed.expect_err("it is locked, and no statement waits for ever");
    assert!(error.is_transient(), "{error:?}");
}

/// The end of a run whose job was removed races with the job's return.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn job_that_comes_back_while_its_old_run_ends_is_not_busy_for_ever() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    rows.reset().await;
    for round in 0..100 {
        let key = format!("job {round}");
        rows.upsert(&hourly(&key)).await;
        let mut runs = rows.claim(at("01:00:00")).await.runs;
        runs.retain(|run| run.id.key.as_str() == key);
        let run = runs.remove(0);
        rows.store.remove("ns", &run.id.key).await.unwrap();
        let back = hourly(&key);
        tokio::join!(rows.upsert(&back), rows.finish(&run, Outcome::Succeeded));
        let status = rows.store.status("ns", &run.id.key, at("01:00:01")).await;
        assert_eq!(status.unwrap().unwrap().running, 0);
    }
    let busy = "SELECT COUNT(*) FROM sched_job WHERE key LIKE 'job %' AND due_at IS NULL";
    assert_eq!(rows.count(busy).await, 0);
}

/// Whatever races, no job is lost: it is due if and only if none of its runs is at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races_on_a_few_keys_leave_every_job_either_due_or_at_work() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    rows.reset().await;
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let store = rows.store.clone();
        tasks.spawn(async move {
            let owner = format!("owner {number}");
            let mut now = at("01:00:00") + SignedDuration::from_secs(number);
            for round in 0..40_i64 {
                let key = format!("job {}", (number + round) % 5);
                let overlap = match round % 3 {
                    0 => steadfast_scheduler::Overlap::Replace,
                    _ => steadfast_scheduler::Overlap::Skip,
                };
                let spec = format!("{} * * * *", round % 60);
                store
                    .upsert("ns", &job(&key, &spec).overlap(overlap), now)
                    .await
                    .unwrap();
                let mut claim = request(&owner, now);
                claim.lease_until = now + Duration::from_secs(30);
                let claimed = store.claim_due(&claim).await.unwrap();
                if round % 7 == 3 {
                    store.remove("ns", &key.as_str().into()).await.unwrap();
                }
                let finished = |run: Run| FinishedRun {
                    id: run.id,
                    ending: Ending::Done(Outcome::Succeeded),
                };
                let ends: Vec<_> = claimed.runs.into_iter().map(finished).collect();
                // Every fifth is forgotten, and found when its lease has ended.
                if round % 5 > 0 {
                    store.finish("ns", &owner, &ends, now).await.unwrap();
                }
                now += SignedDuration::from_secs(60);
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let lost = "SELECT COUNT(*) FROM sched_job AS j WHERE due_at IS NULL AND NOT EXISTS (
        SELECT FROM sched_run AS r WHERE r.ns = j.ns AND r.key = j.key AND finished_at IS NULL)";
    assert_eq!(rows.count(lost).await, 0);
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
