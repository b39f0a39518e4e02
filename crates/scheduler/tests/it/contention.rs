//! Postgres: rows that others have locked, and changes that race.

use std::time::Duration;

use jiff::SignedDuration;
use steadfast_scheduler::{Ending, FinishedRun, JobStore, Outcome, Overlap, Run};
use tokio::task::JoinSet;

use crate::{
    fixture::{at, job},
    postgres::{Rows, hourly, request},
};

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

/// What it reads is locked: it would write back what it had read before the change.
#[tokio::test]
async fn change_waits_for_a_claim_in_progress_and_is_not_undone_by_it() {
    let Some(rows) = Rows::start().await else {
        return;
    };
    // On a machine that is too slow one of them gives up: then once more.
    for _ in 0..10 {
        rows.reset().await;
        // The claim has read the job, and waits for what becomes of this run.
        let mut other = rows.pool.begin().await.unwrap();
        sqlx::query(
            "INSERT INTO sched_run
               (ns, key, scheduled_for, gen, cause, fence, owner, lease_until, state)
             SELECT ns, key, next_fire_at, gen, 'scheduled', 1, 'other', 0, 'running'
             FROM sched_job WHERE key = 'bad'",
        )
        .execute(&mut *other)
        .await
        .unwrap();
        let (claiming, changing) = (rows.store.clone(), rows.store.clone());
        let mut tasks = JoinSet::new();
        let claim = tasks.spawn(async move {
            let claimed = claiming.claim_due(&request("a", at("01:00:00"))).await;
            claimed.is_ok()
        });
        rows.until_waiting(1, &claim).await;
        let change = tasks.spawn(async move {
            let changed = job("bad", "30 * * * *");
            let upserted = changing.upsert("ns", &changed, at("00:30:00")).await;
            upserted.is_ok()
        });
        rows.until_waiting(2, &change).await;
        other.rollback().await.unwrap();
        if tasks.join_all().await == [true, true] {
            let bad = "bad".into();
            let status = rows.store.status("ns", &bad, at("01:00:01")).await;
            let next = status.unwrap().unwrap().next_fire;
            assert_eq!(next, Some(at("01:30:00")));
            return;
        }
    }
    panic!("one of them gave up every time");
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

/// Calls again what meets a deadlock, or a lock that a slow machine held for too long. A macro,
/// since the futures of a closure are not `Send` for all lifetimes.
macro_rules! retried {
    ($call:expr) => {{
        let mut tries = 0;
        loop {
            tries += 1;
            match $call.await {
                Err(error) if error.is_transient() && tries < 10 => {}
                done => break done.unwrap(),
            }
        }
    }};
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
                    0 => Overlap::Replace,
                    _ => Overlap::Skip,
                };
                let job = job(&key, &format!("{} * * * *", round % 60)).overlap(overlap);
                retried!(store.upsert("ns", &job, now));
                let mut claim = request(&owner, now);
                claim.lease_until = now + Duration::from_secs(30);
                let claimed = retried!(store.claim_due(&claim));
                if round % 7 == 3 {
                    retried!(store.remove("ns", &job.key));
                }
                let finished = |run: Run| FinishedRun {
                    id: run.id,
                    ending: Ending::Done(Outcome::Succeeded),
                };
                let ends: Vec<_> = claimed.runs.into_iter().map(finished).collect();
                // Every fifth is forgotten, and found when its lease has ended.
                if round % 5 > 0 {
                    retried!(store.finish("ns", &owner, &ends, now));
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
