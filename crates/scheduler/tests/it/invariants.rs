//! The five invariants of the engine.

use std::{sync::Arc, time::Duration};

use steadfast_scheduler::{Behaviour, JobKey, MemoryJobStore, Outcome};
use tokio::time::sleep;

use crate::{
    fixture::{Fixture, at, job, minutes},
    held_store::HeldStore,
};

#[tokio::test(start_paused = true)]
async fn i1_after_upsert_no_fire_of_an_older_generation_starts() {
    let store = HeldStore::new();
    let fixture = Fixture::with(store.clone(), Behaviour::Succeed, |builder| builder);
    fixture.scheduler.start().await;
    fixture.upsert(job("job", "0 * * * *")).await;
    store.hold();
    store.wait_until_held().await;

    // The old occurrence is claimed, and the driver does not know it yet.
    let generation = fixture.upsert(job("job", "30 * * * *")).await;
    store.let_go();
    let fires = fixture.handler.wait_for_fires(1).await;
    assert_eq!(fires[0].generation, generation);
    assert_eq!(fires[0].scheduled_for, at("01:30:00"));
    sleep(minutes(120)).await;
    assert!(
        fixture
            .handler
            .fires()
            .iter()
            .all(|fire| fire.generation == generation)
    );
}

#[tokio::test(start_paused = true)]
async fn i1_after_remove_no_fire_starts() {
    let store = HeldStore::new();
    let fixture = Fixture::with(store.clone(), Behaviour::Succeed, |builder| builder);
    fixture.scheduler.start().await;
    let old = fixture.upsert(job("job", "0 * * * *")).await;
    store.hold();
    store.wait_until_held().await;

    assert!(fixture.scheduler.remove(&"job".into()).await.unwrap());
    store.let_go();
    sleep(minutes(200)).await;
    assert!(fixture.handler.fires().is_empty());

    // A new job with the same key is not held against the old one.
    let generation = fixture.upsert(job("job", "0 * * * *")).await;
    assert!(generation > old);
    let fires = fixture.handler.wait_for_fires(1).await;
    assert_eq!(fires[0].generation, generation);
}

#[tokio::test(start_paused = true)]
async fn i1_a_run_that_waits_for_its_lock_is_superseded_too() {
    let fixture = Fixture::started(Behaviour::Take(minutes(10))).await;
    fixture
        .upsert(job("first", "0 1 * * *").lock("exclusive"))
        .await;
    fixture.handler.wait_for_fires(0).await;
    sleep(minutes(30)).await;
    fixture.handler.wait_for_fires(1).await;
    fixture
        .upsert(job("second", "1 1 * * *").lock("exclusive"))
        .await;
    sleep(minutes(2)).await;
    assert_eq!(
        fixture.status("second").await.running,
        1,
        "it waits for the lock"
    );

    fixture.scheduler.pause(&"second".into()).await.unwrap();
    sleep(minutes(30)).await;
    assert_eq!(fixture.handler.fires().len(), 1);
    assert_eq!(fixture.status("second").await.last, None);
}

#[tokio::test(start_paused = true)]
async fn i1_after_a_removal_that_is_tried_again_no_fire_starts() {
    let store = HeldStore::new();
    let behaviour = Behaviour::Take(minutes(10));
    let fixture = Fixture::with(store.clone(), behaviour, |builder| builder);
    fixture.scheduler.start().await;
    fixture
        .upsert(job("first", "0 1 * * *").lock("exclusive"))
        .await;
    fixture
        .upsert(job("second", "1 1 * * *").lock("exclusive"))
        .await;
    sleep(minutes(32)).await;
    assert_eq!(fixture.status("second").await.running, 1, "it waits");

    // The first caller is dropped when the store has removed the job.
    store.hold_removals();
    let second = "second".into();
    tokio::select! {
        removed = fixture.scheduler.remove(&second) => panic!("{removed:?}"),
        () = store.wait_until_held() => {}
    }
    store.let_go();
    assert!(!fixture.scheduler.remove(&second).await.unwrap());
    sleep(minutes(30)).await;
    let fires = fixture.handler.fires();
    assert!(fires.iter().all(|fire| fire.key.as_str() == "first"));
    assert_eq!(fires.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn i2_one_entry_per_key_whatever_races() {
    let fixture = Arc::new(Fixture::started(Behaviour::Succeed).await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let fixture = fixture.clone();
        tasks.spawn(async move {
            let key = JobKey::from(format!("job {}", number % 4));
            if number % 7 == 0 {
                fixture.scheduler.remove(&key).await.unwrap();
            }
            fixture
                .upsert(job(key.as_str(), "0 * * * *").jitter(Duration::ZERO))
                .await;
            fixture
                .upsert(job(key.as_str(), &format!("0 {} * * *", number % 24)))
                .await;
            fixture.upsert(job(key.as_str(), "0 1 * * *")).await;
        });
    }
    tasks.join_all().await;
    sleep(minutes(60)).await;
    let mut fires = fixture.handler.fires();
    fires.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<&str> = fires.iter().map(|fire| fire.key.as_str()).collect();
    assert_eq!(keys, ["job 0", "job 1", "job 2", "job 3"], "once each");
}

#[tokio::test(start_paused = true)]
async fn i3_changed_spec_fires_after_now_and_last_and_an_unchanged_one_is_a_no_op() {
    let fixture = Fixture::started(Behaviour::Succeed).await;
    let generation = fixture.upsert(job("job", "0 * * * *")).await;
    fixture.handler.wait_for_fires(1).await;
    assert_eq!(fixture.upsert(job("job", "0 * * * *")).await, generation);

    fixture.clock.shift_wall(-1_800);
    fixture.upsert(job("job", "*/30 * * * *")).await;
    let fires = fixture.handler.wait_for_fires(2).await;
    assert_eq!(
        fires[1].scheduled_for,
        at("01:30:00"),
        "01:00 has fired before"
    );
}

#[tokio::test(start_paused = true)]
async fn i4_row_13_concurrent_updates_of_one_key_are_all_applied_and_the_last_wins() {
    let fixture = Arc::new(Fixture::started(Behaviour::Succeed).await);
    let mut tasks = tokio::task::JoinSet::new();
    for minute in 31..60 {
        let fixture = fixture.clone();
        tasks.spawn(async move {
            (
                fixture
                    .upsert(job("user", &format!("{minute} * * * *")))
                    .await,
                minute,
            )
        });
    }
    let mut versions = tasks.join_all().await;
    versions.sort_unstable();
    let (last, minute) = versions[versions.len() - 1];
    versions.dedup_by_key(|(generation, _)| *generation);
    assert_eq!(versions.len(), 29, "every update has its own version");

    let status = fixture.status("user").await;
    assert_eq!(status.generation, last);
    assert_eq!(status.next_fire, Some(at(&format!("00:{minute}:00"))));
    let fires = fixture.handler.wait_for_fires(1).await;
    assert_eq!(
        (fires[0].generation, fires[0].scheduled_for),
        (last, at(&format!("00:{minute}:00")))
    );
}

#[tokio::test(start_paused = true)]
async fn i5_after_shutdown_there_are_no_entries_tasks_or_timers() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let fixture = Fixture::started(Behaviour::UntilCancelled).await;
    for number in 0..50 {
        fixture
            .upsert(job(&format!("job {number}"), "0 1 * * *").lock("one at a time"))
            .await;
    }
    fixture.handler.wait_for_fires(1).await;
    let report = fixture.scheduler.shutdown(minutes(1)).await;
    assert_eq!(
        (report.finished, report.aborted, report.abandoned),
        (50, 0, 0)
    );
    assert_eq!(
        fixture.handler.fires().len(),
        1,
        "what had not started did not start"
    );
    // The driver's task has been joined; let the runtime forget it.
    tokio::task::yield_now().await;
    assert_eq!(tasks(), before);

    sleep(minutes(60 * 24)).await;
    assert_eq!(fixture.handler.fires().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn i5_start_shutdown_start_works() {
    let store = Arc::new(MemoryJobStore::new());
    let fixture = Fixture::with(store, Behaviour::Succeed, |builder| builder);
    for round in 1..=3 {
        fixture.scheduler.start().await;
        fixture.scheduler.start().await;
        fixture.upsert(job("job", "0 * * * *")).await;
        let fires = fixture.handler.wait_for_fires(round).await;
        assert_eq!(fires.len(), round);
        let last = fixture.status_after_a_run("job").await.last.unwrap();
        assert_eq!(last.outcome, Outcome::Succeeded);
        fixture.scheduler.shutdown(minutes(1)).await;
        fixture.scheduler.shutdown(minutes(1)).await;
    }
    assert_eq!(
        fixture.fired(),
        [at("01:00:00"), at("02:00:00"), at("03:00:00")]
    );
}
