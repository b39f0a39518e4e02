//! What keeps the driver at work, and what it leaves behind when it ends.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use steadfast_clock::{Clock, Instant, ManualClock};
use steadfast_scheduler::{
    Behaviour, Cause, Claimed, MemoryJobStore, Outcome, Recorder, RunNow, Scheduler,
    SchedulerError, StoreError,
};
use tokio::time::{sleep, timeout};

use crate::{
    faults::run,
    fixture::{Fixture, at, job, last_outcome, minutes, mock_store, wall},
    held_store::HeldStore,
};

#[tokio::test(start_paused = true)]
async fn panic_of_the_store_is_an_error_like_any_other() {
    let store = HeldStore::new();
    let behaviour = Behaviour::Take(minutes(1));
    let fixture = Fixture::with(store.clone(), behaviour, |builder| builder);
    fixture.scheduler.start().await;
    fixture.upsert(job("job", "0 1 * * *")).await;
    sleep(minutes(1)).await;
    store.panic_at(3);
    fixture.handler.wait_for_fires(1).await;
    assert_eq!(store.panics_left(), 0, "claims have panicked");

    store.panic_at(3);
    fixture.handler.wait_for_ends(1).await;
    let status = fixture.status_after_a_run("job").await;
    assert_eq!(store.panics_left(), 0, "ends have panicked");
    assert_eq!(last_outcome(status), Outcome::Succeeded);
    assert!(fixture.scheduler.is_running().await);

    store.panic_at(1);
    let answer = fixture.scheduler.upsert(job("job", "@daily")).await;
    let Err(SchedulerError::Store { source, .. }) = answer else {
        panic!("{answer:?}");
    };
    let cause = std::error::Error::source(&source).unwrap().to_string();
    assert_eq!(cause, "a bug in the store");
    let report = fixture.scheduler.shutdown(minutes(1)).await;
    assert_eq!(report, Default::default());
}

#[tokio::test(start_paused = true)]
async fn end_of_a_run_is_stored_while_the_shutdown_waits_for_others() {
    let fixture = Fixture::started(Behaviour::Take(minutes(4))).await;
    fixture.upsert(job("slow", "@yearly")).await;
    fixture.upsert(job("quick", "@yearly")).await;
    fixture.scheduler.run_now(&"slow".into()).await.unwrap();
    fixture.handler.wait_for_fires(1).await;
    fixture.handler.behave(Behaviour::Take(minutes(1)));
    fixture.scheduler.run_now(&"quick".into()).await.unwrap();
    fixture.handler.wait_for_fires(2).await;

    let scheduler = fixture.scheduler.clone();
    let mut shutdown = tokio::task::JoinSet::new();
    shutdown.spawn(async move { scheduler.shutdown(minutes(10)).await });
    sleep(minutes(2)).await;
    let status = fixture.status("quick").await;
    assert_eq!(
        (status.running, last_outcome(status)),
        (0, Outcome::Succeeded)
    );
    let report = shutdown.join_next().await.unwrap().unwrap();
    assert_eq!((report.finished, report.abandoned), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn lease_of_a_run_is_kept_until_its_end_is_stored() {
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
        .expect_finish()
        .returning(|_, _, _, _| Err(StoreError::permanent("store the end of runs", "full")));
    let (renewed, mut renewals) = tokio::sync::mpsc::unbounded_channel();
    store.expect_renew().returning(move |_, _, runs, _| {
        renewed.send(runs.to_vec()).unwrap();
        Ok(Vec::new())
    });
    let fixture = Fixture::with(Arc::new(store), Behaviour::Succeed, |builder| builder);
    fixture.scheduler.start().await;
    fixture.handler.wait_for_ends(1).await;
    let renewal = timeout(minutes(1), renewals.recv()).await;
    assert_eq!(renewal.unwrap().unwrap(), [run(1).id]);
}

#[tokio::test(start_paused = true)]
async fn health_is_told_during_a_shutdown_and_every_caller_gets_its_report() {
    let fixture = Fixture::started(Behaviour::Take(minutes(3))).await;
    fixture.upsert(job("job", "0 1 * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    let mut shutdowns = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let scheduler = fixture.scheduler.clone();
        shutdowns.spawn(async move { scheduler.shutdown(minutes(10)).await });
    }
    sleep(minutes(1)).await;
    let running = fixture.scheduler.is_running();
    let running = timeout(Duration::from_secs(1), running).await;
    assert_eq!(running, Ok(false));
    while let Some(report) = shutdowns.join_next().await {
        assert_eq!(report.unwrap().finished, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_may_wait_for_ever() {
    let fixture = Fixture::started(Behaviour::Take(minutes(3))).await;
    fixture.upsert(job("job", "0 1 * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    let report = fixture.scheduler.shutdown(Duration::MAX).await;
    assert_eq!((report.finished, report.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn run_now_is_claimed_at_once_although_the_clock_went_back() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    fixture.upsert(job("job", "@yearly")).await;
    let key = "job".into();
    fixture.scheduler.run_now(&key).await.unwrap();
    fixture.handler.wait_for_fires(1).await;
    fixture.status_after_a_run("job").await;

    fixture.clock.shift_wall(-3_600);
    let accepted = fixture.scheduler.run_now(&key).await.unwrap();
    sleep(Duration::from_millis(10)).await;
    let fires = fixture.handler.fires();
    assert_eq!((fires.len(), fires[1].cause), (2, Cause::Manual));
    let scheduled_for = fires[1].scheduled_for;
    assert_eq!(accepted, RunNow::Accepted { scheduled_for });
    assert_ne!(scheduled_for, fires[0].scheduled_for);
}

/// A clock that panics when it is told to.
#[derive(Debug)]
struct Trap {
    clock: ManualClock,
    /// How many questions it panics at.
    armed: AtomicU32,
}

impl Clock for Trap {
    fn wall(&self) -> SystemTime {
        let armed = self.armed.load(Ordering::SeqCst);
        self.armed.store(armed.saturating_sub(1), Ordering::SeqCst);
        assert!(armed == 0, "told to panic");
        self.clock.wall()
    }

    fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }
}

#[tokio::test(start_paused = true)]
async fn driver_that_died_is_noticed_and_a_new_one_runs_what_it_left() {
    let clock = Arc::new(Trap {
        clock: ManualClock::ticking(wall(at("00:30:00"))),
        armed: AtomicU32::new(0),
    });
    let handler = Arc::new(Recorder::new(Behaviour::UntilCancelled));
    let store = Arc::new(MemoryJobStore::new());
    let builder = Scheduler::builder("ns", store, handler.clone());
    let scheduler = builder.clock(clock.clone()).build().unwrap();
    scheduler.start().await;
    scheduler.upsert(job("job", "0 1 * * *")).await.unwrap();
    handler.wait_for_fires(1).await;
    clock.armed.store(1, Ordering::SeqCst);
    timeout(minutes(1), scheduler.died()).await.unwrap();
    assert!(!scheduler.is_running().await);

    handler.behave(Behaviour::Succeed);
    scheduler.start().await;
    let fires = handler.wait_for_fires(2).await;
    assert_eq!(fires[0].scheduled_for, fires[1].scheduled_for);
    assert!(fires[0].fence < fires[1].fence);
    let died = timeout(minutes(1), scheduler.died()).await;
    assert!(died.is_err(), "the new one is alive");
}

#[tokio::test(start_paused = true)]
async fn driver_that_is_shut_down_has_not_died() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    let watching = fixture.scheduler.clone();
    let mut watch = tokio::task::JoinSet::new();
    watch.spawn(async move { timeout(minutes(2), watching.died()).await });
    sleep(minutes(1)).await;
    fixture.scheduler.shutdown(minutes(1)).await;
    assert!(watch.join_next().await.unwrap().unwrap().is_err());
    let died = timeout(minutes(1), fixture.scheduler.died()).await;
    assert!(died.is_err(), "there is none");
}

#[tokio::test(start_paused = true)]
async fn jump_of_the_clock_during_an_answer_of_the_store_is_noticed_before_the_next_claim() {
    let calls: Arc<Mutex<Vec<&str>>> = Arc::default();
    let clock = Arc::new(ManualClock::ticking(wall(at("00:30:00"))));
    let mut store = mock_store();
    let log = calls.clone();
    store.expect_claim_due().returning(move |_| {
        let mut log = log.lock().unwrap();
        log.push("claim");
        let mut runs = vec![run(log.len() as u64)];
        runs[0].id.key = format!("job {}", log.len()).as_str().into();
        runs.retain(|_| log.len() <= 2);
        Ok(Claimed {
            runs,
            next_due: None,
        })
    });
    let (log, jumping) = (calls.clone(), clock.clone());
    store.expect_finish().returning(move |_, _, _, now| {
        log.lock().unwrap().push("finish");
        jumping.shift_wall(3_600);
        Ok(Some(now))
    });
    let log = calls.clone();
    store.expect_renew().returning(move |_, _, _, _| {
        log.lock().unwrap().push("renew");
        Ok(Vec::new())
    });
    let scheduled_for = at("00:30:00");
    store
        .expect_request_run()
        .returning(move |_, _, _| Ok(RunNow::Accepted { scheduled_for }));
    let set = |builder: steadfast_scheduler::SchedulerBuilder| builder.clock(clock.clone());
    let fixture = Fixture::with(Arc::new(store), Behaviour::UntilCancelled, set);
    fixture.scheduler.start().await;
    fixture.handler.wait_for_fires(1).await;
    fixture.handler.behave(Behaviour::Succeed);
    fixture.scheduler.run_now(&"job 2".into()).await.unwrap();
    sleep(Duration::from_millis(10)).await;
    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls, ["claim", "claim", "finish", "renew", "claim"]);
}
