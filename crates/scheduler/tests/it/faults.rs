//! Stores that fail, processes that die, processes that compete.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use steadfast_clock::{Clock, ManualClock};
use steadfast_scheduler::{
    Behaviour, Cause, Claimed, Ending, JobStore, MemoryJobStore, Outcome, Policy, Recorder, Run,
    RunId, RunNow, Scheduler, SqliteJobStore, StoreError,
};
use tokio::time::sleep;

use crate::{
    fixture::{Fixture, at, job, minutes, mock_store, wall},
    stores::{sqlite_pool, sqlite_pool_in},
};

pub(crate) fn run(fence: u64) -> Run {
    Run {
        id: RunId {
            key: "job".into(),
            scheduled_for: at("01:00:00"),
            fence,
        },
        generation: 1,
        cause: Cause::Scheduled,
        policy: Policy::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn failing_store_is_retried_and_nothing_is_lost() {
    let mut store = mock_store();
    let claims = AtomicU32::new(0);
    store
        .expect_claim_due()
        .returning(move |_| match claims.fetch_add(1, Ordering::SeqCst) {
            0..5 => Err(StoreError::transient(
                "claim what is due",
                "connection lost",
            )),
            5 => Ok(Claimed {
                runs: vec![run(7)],
                next_due: None,
            }),
            _ => Ok(Claimed::default()),
        });
    // The end of the run is told again, unchanged, until it is stored.
    let (stored, mut ends) = tokio::sync::mpsc::channel(1);
    let finishes = AtomicU32::new(0);
    store
        .expect_finish()
        .times(4)
        .returning(move |_, _, runs, _| {
            if finishes.fetch_add(1, Ordering::SeqCst) < 3 {
                return Err(StoreError::permanent("store the end of runs", "disk full"));
            }
            stored.try_send(runs.to_vec()).unwrap();
            Ok(None)
        });
    store.expect_renew().returning(|_, _, _, _| Ok(Vec::new()));

    let fixture = Fixture::with(Arc::new(store), Behaviour::Succeed, |builder| builder);
    let started = fixture.clock.monotonic();
    fixture.scheduler.start().await;
    let ended = ends.recv().await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].id, run(7).id);
    assert_eq!(ended[0].ending, Ending::Done(Outcome::Succeeded));
    assert_eq!(fixture.handler.fires().len(), 1);
    assert!(fixture.clock.monotonic() - started < minutes(1));
    let report = fixture.scheduler.shutdown(minutes(1)).await;
    assert_eq!(report, Default::default());
}

#[tokio::test(start_paused = true)]
async fn store_that_never_answers_does_not_hold_up_the_shutdown() {
    let mut store = mock_store();
    let claims = AtomicU32::new(0);
    store.expect_claim_due().returning(move |_| {
        let first = claims.fetch_add(1, Ordering::SeqCst) == 0;
        let runs = if first { vec![run(1)] } else { Vec::new() };
        Ok(Claimed {
            runs,
            next_due: None,
        })
    });
    store.expect_renew().returning(|_, _, _, _| Ok(Vec::new()));
    store
        .expect_finish()
        .returning(|_, _, _, _| Err(StoreError::transient("store the end of runs", "down")));
    let fixture = Fixture::with(Arc::new(store), Behaviour::UntilCancelled, |builder| {
        builder
    });
    fixture.scheduler.start().await;
    fixture.handler.wait_for_fires(1).await;
    let report = fixture.scheduler.shutdown(Duration::from_secs(3)).await;
    assert_eq!(
        (report.finished, report.aborted, report.abandoned),
        (1, 0, 1)
    );
    assert!(fixture.clock.wall() < wall(at("00:30:06")));
}

#[tokio::test(start_paused = true)]
async fn lost_lease_cancels_the_run() {
    let mut store = mock_store();
    let claims = AtomicU32::new(0);
    store.expect_claim_due().returning(move |_| {
        let first = claims.fetch_add(1, Ordering::SeqCst) == 0;
        let runs = if first { vec![run(1)] } else { Vec::new() };
        Ok(Claimed {
            runs,
            next_due: None,
        })
    });
    store
        .expect_renew()
        .returning(|_, _, runs, _| Ok(runs.to_vec()));
    store.expect_finish().returning(|_, _, _, _| Ok(None));
    let fixture = Fixture::with(Arc::new(store), Behaviour::UntilCancelled, |builder| {
        builder
    });
    fixture.scheduler.start().await;
    fixture.handler.wait_for_ends(1).await;
    assert!(
        fixture.clock.wall() < wall(at("00:30:05")),
        "within a third of the lease"
    );
}

#[tokio::test(start_paused = true)]
async fn run_claimed_again_by_its_own_process_goes_on_under_the_new_fence() {
    let mut store = mock_store();
    let claims = AtomicU32::new(0);
    store.expect_claim_due().returning(move |_| {
        let runs = match claims.fetch_add(1, Ordering::SeqCst) {
            count @ 0..2 => vec![run(u64::from(count) + 1)],
            _ => Vec::new(),
        };
        Ok(Claimed {
            runs,
            next_due: None,
        })
    });
    let (stored, mut ends) = tokio::sync::mpsc::channel(1);
    store
        .expect_finish()
        .times(1)
        .returning(move |_, _, runs, _| {
            stored.try_send(runs[0].id.fence).unwrap();
            Ok(None)
        });
    store.expect_renew().returning(|_, _, _, _| Ok(Vec::new()));
    let fixture = Fixture::with(
        Arc::new(store),
        Behaviour::Take(Duration::from_secs(45)),
        |builder| builder,
    );
    fixture.scheduler.start().await;
    assert_eq!(ends.recv().await, Some(2));
    assert_eq!(fixture.handler.fires().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_jump_of_the_clock_leases_are_renewed_before_anything_is_claimed() {
    let calls: Arc<Mutex<Vec<&str>>> = Arc::default();
    let mut store = mock_store();
    let log = calls.clone();
    store.expect_claim_due().returning(move |_| {
        log.lock().unwrap().push("claim");
        let first = log.lock().unwrap().len() == 1;
        let runs = if first { vec![run(1)] } else { Vec::new() };
        Ok(Claimed {
            runs,
            next_due: None,
        })
    });
    let log = calls.clone();
    store.expect_renew().returning(move |_, _, _, _| {
        log.lock().unwrap().push("renew");
        Ok(Vec::new())
    });
    store.expect_finish().returning(|_, _, _, _| Ok(None));
    let scheduled_for = at("00:30:00");
    store
        .expect_request_run()
        .returning(move |_, _, _| Ok(RunNow::Accepted { scheduled_for }));
    let fixture = Fixture::with(Arc::new(store), Behaviour::UntilCancelled, |builder| {
        builder
    });
    fixture.scheduler.start().await;
    fixture.handler.wait_for_fires(1).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(*calls.lock().unwrap(), ["claim"]);

    fixture.clock.shift_wall(3_600);
    fixture.scheduler.run_now(&"job".into()).await.unwrap();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(*calls.lock().unwrap(), ["claim", "renew", "claim"]);
}

#[tokio::test(start_paused = true)]
async fn runs_of_a_dead_process_are_claimed_again_after_their_lease() {
    let store: Arc<MemoryJobStore> = Arc::default();
    let dead = Fixture::with(store.clone(), Behaviour::Take(minutes(60)), |builder| {
        builder
    });
    dead.scheduler.start().await;
    dead.upsert(job("job", "0 1 * * *")).await;
    let first = dead.handler.wait_for_fires(1).await.remove(0);
    drop(dead);

    // Its clock starts anew: it must be past the lease, but not yet past the next occurrence.
    let heir = Fixture::with(store, Behaviour::Succeed, |builder| builder);
    heir.clock.set_wall(wall(at("01:00:05")));
    heir.scheduler.start().await;
    let again = heir.handler.wait_for_fires(1).await.remove(0);
    assert_eq!(again.scheduled_for, first.scheduled_for);
    assert!(again.fence > first.fence);
    assert!(
        heir.clock.wall() >= wall(at("01:00:10")),
        "the lease must have ended"
    );
    assert!(heir.clock.wall() < wall(at("01:00:11")));
    assert_eq!(
        heir.status_after_a_run("job").await.last.unwrap().outcome,
        Outcome::Succeeded
    );
}

/// Real time, since SQLite works in threads of its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_schedulers_on_one_sqlite_file_claim_every_occurrence_exactly_once() {
    const JOBS: usize = 40;
    const ROUNDS: usize = 4;
    let (pool, folder) = sqlite_pool(2).await;
    let other_pool = sqlite_pool_in(&folder, 2).await;
    let clock = Arc::new(ManualClock::ticking(wall(at("00:30:00"))));
    // A run takes a while, so that one scheduler alone is too slow for all.
    let handler = Arc::new(Recorder::new(Behaviour::Take(Duration::from_millis(50))));
    let scheduler = |pool| {
        let store = Arc::new(SqliteJobStore::new(pool));
        Scheduler::builder("ns", store, handler.clone())
            .clock(clock.clone())
            .poll(Duration::from_millis(20))
            .max_concurrency(8)
            .build()
            .unwrap()
    };
    let (a, b) = (scheduler(pool.clone()), scheduler(other_pool));
    for number in 0..JOBS {
        a.upsert(job(&format!("job {number}"), "* * * * *"))
            .await
            .unwrap();
    }
    a.start().await;
    b.start().await;
    for round in 1..=ROUNDS {
        clock.advance(minutes(1));
        handler.wait_for_fires(round * JOBS).await;
        // A job whose run is at work skips what falls due, so let the ends be stored.
        until_idle(&pool).await;
    }
    let mut fires: HashMap<(String, Timestamp), usize> = HashMap::new();
    for fire in handler.fires() {
        *fires
            .entry((fire.key.to_string(), fire.scheduled_for))
            .or_default() += 1;
    }
    assert_eq!(fires.len(), ROUNDS * JOBS, "none lost");
    assert!(fires.values().all(|count| *count == 1), "none twice");
    for scheduler in [a, b] {
        let report = scheduler.shutdown(Duration::from_secs(5)).await;
        assert_eq!((report.aborted, report.abandoned), (0, 0));
    }
    let owners: i64 = sqlx::query_scalar("SELECT COUNT(DISTINCT owner) FROM sched_run")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(owners, 2, "both took part");
}

async fn until_idle(pool: &sqlx::SqlitePool) {
    loop {
        let active: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM sched_run WHERE finished_at IS NULL")
                .fetch_one(pool)
                .await
                .unwrap();
        if active == 0 {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_their_last_outcome_survive_a_restart_on_sqlite() {
    let (pool, folder) = sqlite_pool(2).await;
    let clock = Arc::new(ManualClock::ticking(wall(at("00:30:00"))));
    let handler = Arc::new(Recorder::new(Behaviour::Fail));
    let scheduler = |pool| {
        let store: Arc<dyn JobStore> = Arc::new(SqliteJobStore::new(pool));
        let builder = Scheduler::builder("ns", store, handler.clone()).clock(clock.clone());
        builder.build().unwrap()
    };
    let first = scheduler(pool.clone());
    first.start().await;
    let job = job("job", "0 * * * *")
        .lock("some lock")
        .jitter(Duration::from_millis(3));
    let upserted = first.upsert(job.clone()).await.unwrap();
    first.run_now(&job.key).await.unwrap();
    handler.wait_for_fires(1).await;
    until_idle(&pool).await;
    first.shutdown(Duration::from_secs(5)).await;
    pool.close().await;

    let second = scheduler(sqlite_pool_in(&folder, 2).await);
    let status = second.status(&job.key).await.unwrap().unwrap();
    assert_eq!(status.generation, upserted.generation);
    assert_eq!(status.next_fire, Some(at("01:00:00")));
    let message = "told to fail".into();
    assert_eq!(status.last.unwrap().outcome, Outcome::Failed { message });
    let again = second.upsert(job).await.unwrap();
    assert!(
        !again.changed,
        "an equal job is a no-op after a restart too"
    );
}
