//! Rows that somebody else wrote, and replies that do not arrive.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use steadfast_scheduler::{ClaimRequest, Claimed, Job, JobStore, Overlap, SqliteJobStore};

use crate::{
    fixture::{at, job},
    stores::sqlite_pool,
};

struct Rows {
    pool: SqlitePool,
    store: SqliteJobStore,
    _folder: tempfile::TempDir,
}

impl Rows {
    /// A store with the hourly jobs `good` and `bad`, at half past midnight.
    async fn new() -> Self {
        let (pool, folder) = sqlite_pool(2).await;
        let rows = Self {
            store: SqliteJobStore::new(pool.clone()),
            pool,
            _folder: folder,
        };
        for key in ["good", "bad"] {
            rows.upsert(&hourly(key)).await;
        }
        rows
    }

    async fn upsert(&self, job: &Job) -> bool {
        let upserted = self.store.upsert("ns", job, at("00:30:00")).await;
        upserted.unwrap().changed
    }

    async fn spoil(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.pool).await.unwrap();
    }

    async fn claim(&self, now: Timestamp) -> Claimed {
        self.store.claim_due(&request(now)).await.unwrap()
    }

    async fn claimed_keys(&self, now: Timestamp) -> Vec<String> {
        let claimed = self.claim(now).await;
        let keys = claimed.runs.iter().map(|run| run.id.key.to_string());
        keys.collect()
    }
}

fn hourly(key: &str) -> Job {
    job(key, "0 * * * *").overlap(Overlap::Skip)
}

fn request(now: Timestamp) -> ClaimRequest {
    ClaimRequest {
        namespace: "ns".into(),
        owner: "a".into(),
        now,
        lease_until: now + Duration::from_secs(10),
        grace: Duration::from_secs(60),
        limit: 10,
    }
}

#[tokio::test]
async fn unreadable_job_is_set_aside_and_mended_by_an_upsert() {
    for statement in [
        "UPDATE sched_job SET spec = 'nonsense' WHERE key = 'bad'",
        "UPDATE sched_job SET tz = 'Mars/Olympus_Mons' WHERE key = 'bad'",
        "UPDATE sched_job SET spec = x'00ff' WHERE key = 'bad'",
        "UPDATE sched_job SET gen = 'nonsense' WHERE key = 'bad'",
        "UPDATE sched_job SET busy_from = 9223372036854775807 WHERE key = 'bad'",
        "UPDATE sched_job SET skipped = x'00' WHERE key = 'bad'",
        "UPDATE sched_job SET last_outcome = 'nonsense' WHERE key = 'bad'",
    ] {
        let rows = Rows::new().await;
        rows.spoil(statement).await;
        assert_eq!(
            rows.claimed_keys(at("01:00:00")).await,
            ["good"],
            "{statement}"
        );
        assert!(
            rows.store
                .status("ns", &"bad".into(), at("01:00:00"))
                .await
                .is_err()
        );

        assert!(rows.upsert(&hourly("bad")).await);
        assert_eq!(
            rows.claimed_keys(at("01:00:00")).await,
            ["bad"],
            "{statement}"
        );
    }
}

#[tokio::test]
async fn job_with_an_unreadable_key_is_set_aside() {
    let rows = Rows::new().await;
    rows.spoil("UPDATE sched_job SET key = x'00ff' WHERE key = 'bad'")
        .await;
    assert_eq!(rows.claimed_keys(at("01:00:00")).await, ["good"]);
    let next = rows.store.next_due("ns").await.unwrap();
    assert_eq!(next, Some(at("01:00:10")), "the lease of the other");
}

#[tokio::test]
async fn job_set_aside_by_another_version_is_due_again_after_an_equal_upsert() {
    let rows = Rows::new().await;
    rows.spoil("UPDATE sched_job SET spec = 'of the future ' || spec WHERE key = 'bad'")
        .await;
    assert_eq!(rows.claimed_keys(at("01:00:00")).await, ["good"]);

    // The version that wrote it comes back, and reads it.
    rows.spoil("UPDATE sched_job SET spec = replace(spec, 'of the future ', '')")
        .await;
    assert!(!rows.upsert(&hourly("bad")).await, "nothing has changed");
    assert_eq!(rows.claimed_keys(at("01:00:01")).await, ["bad"]);
}

#[tokio::test]
async fn unreadable_run_ends_and_keeps_neither_its_namespace_nor_its_job_from_going_on() {
    for statement in [
        "UPDATE sched_run SET cause = 'nonsense' WHERE key = 'bad'",
        "UPDATE sched_run SET cause = x'00ff' WHERE key = 'bad'",
        "UPDATE sched_run SET fence = 'nonsense' WHERE key = 'bad'",
        "UPDATE sched_run SET scheduled_for = 9223372036854775807 WHERE key = 'bad'",
        "UPDATE sched_run SET attempts = x'00' WHERE key = 'bad'",
        "UPDATE sched_run SET gen = 'nonsense' WHERE key = 'bad'",
    ] {
        let rows = Rows::new().await;
        assert_eq!(rows.claim(at("01:00:00")).await.runs.len(), 2);
        rows.spoil(statement).await;
        let again = rows.claimed_keys(at("01:00:10")).await;
        assert_eq!(again, ["good"], "{statement}");
        let bad = rows.store.status("ns", &"bad".into(), at("01:00:10")).await;
        assert_eq!(bad.unwrap().unwrap().running, 0, "{statement}");
        let next = rows.claimed_keys(at("02:00:00")).await;
        assert!(next.contains(&"bad".into()), "{statement}: {next:?}");
    }
}

#[tokio::test]
async fn absurd_instants_do_not_hide_what_is_due() {
    for (table, column) in [("sched_job", "due_at"), ("sched_run", "lease_until")] {
        for instant in ["-9223372036854775808", "9223372036854775807"] {
            let rows = Rows::new().await;
            if table == "sched_run" {
                assert_eq!(rows.claim(at("01:00:00")).await.runs.len(), 2);
            }
            let statement = format!("UPDATE {table} SET {column} = {instant} WHERE key = 'bad'");
            let statement = sqlx::AssertSqlSafe(statement);
            sqlx::raw_sql(statement).execute(&rows.pool).await.unwrap();
            let keys = rows.claimed_keys(at("01:00:10")).await;
            assert!(
                keys.contains(&"good".into()),
                "{column} {instant}: {keys:?}"
            );
        }
    }
}

/// The pool gives out a connection twice, and not a third time: the store must not need another answer
/// once the claims are committed.
#[tokio::test]
async fn committed_claims_are_returned_whatever_comes_after_them() {
    let (pool, folder) = sqlite_pool(1).await;
    let store = SqliteJobStore::new(pool);
    store
        .upsert("ns", &hourly("job"), at("00:30:00"))
        .await
        .unwrap();

    let given = Arc::new(AtomicU32::new(0));
    let url = format!("sqlite://{}/scheduler.db", folder.path().display());
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(500))
        .before_acquire(move |_, _| {
            let next = given.fetch_add(1, Ordering::SeqCst) + 1;
            Box::pin(async move {
                if next > 2 {
                    std::future::pending::<()>().await;
                }
                Ok(true)
            })
        })
        .connect_with(SqliteConnectOptions::from_str(&url).unwrap())
        .await
        .unwrap();
    let store = SqliteJobStore::new(pool);
    let claimed = store.claim_due(&request(at("01:00:00"))).await.unwrap();
    assert_eq!(claimed.runs.len(), 1);
    assert_eq!(claimed.next_due, Some(at("01:00:10")));
}
