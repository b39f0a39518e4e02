use std::{future::Future, pin::pin, task::Poll, time::Duration};

use steadfast_notifications::{Reconciled, SchedulePatch, ScheduleStore, StoredSchedule};
use tokio_util::sync::CancellationToken;

use crate::{World, new_schedule};

#[tokio::test]
async fn reconcile_touches_only_what_is_out_of_sync() {
    let world = World::new();
    world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap();
    world.jobs.fail_next(1);
    let missed = world
        .schedules
        .create(world.user, new_schedule("@hourly"))
        .await
        .unwrap();
    assert_eq!(
        world.jobs.job(missed.id),
        None,
        "the schedule is stored all the same"
    );

    let calls = world.jobs.calls();
    let done = world.schedules.job_sync().reconcile().await.unwrap();
    assert_eq!(
        done,
        Reconciled {
            synced: 1,
            failed: 0
        }
    );
    assert_eq!(world.jobs.calls(), calls + 1);
    assert_eq!(world.jobs.job(missed.id), Some(missed));
    let done = world.schedules.job_sync().reconcile().await.unwrap();
    assert_eq!(done, Reconciled::default());
}

#[tokio::test]
async fn update_that_the_scheduler_missed_is_made_up_for() {
    let world = World::new();
    let id = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap()
        .id;
    world.jobs.fail_next(1);
    let patch = SchedulePatch {
        cron: Some("@hourly".into()),
        ..SchedulePatch::default()
    };
    let updated = world
        .schedules
        .update(world.user, id, &patch, None)
        .await
        .unwrap();
    assert_eq!(world.jobs.job(id).unwrap().version, 1);
    world.schedules.job_sync().reconcile().await.unwrap();
    assert_eq!(world.jobs.job(id), Some(updated));
}

#[tokio::test]
async fn tombstone_stays_until_the_job_is_gone() {
    let world = World::new();
    let id = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap()
        .id;
    world.jobs.fail_next(2);
    world.schedules.delete(world.user, id, None).await.unwrap();
    assert!(
        world.jobs.job(id).is_some(),
        "the job outlives its schedule for a while"
    );

    let done = world.schedules.job_sync().reconcile().await.unwrap();
    assert_eq!(
        done,
        Reconciled {
            synced: 0,
            failed: 1
        }
    );
    assert_eq!(
        world.store.load(id).await.unwrap(),
        Some(StoredSchedule::Tombstone)
    );
    world.schedules.job_sync().reconcile().await.unwrap();
    assert_eq!(world.jobs.job(id), None);
    assert_eq!(world.store.load(id).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn run_makes_up_for_a_failure_without_waiting_for_its_poll() {
    let world = World::new();
    let stop = CancellationToken::new();
    let sync = world.schedules.job_sync().clone();
    let running =
        tokio_util::task::AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn({
            let stop = stop.clone();
            async move { sync.run(stop).await }
        }));
    tokio::task::yield_now().await;

    world.jobs.fail_next(1);
    let missed = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.jobs.job(missed.id), Some(missed));

    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn run_survives_a_scheduler_that_is_down() {
    let world = World::new();
    world.jobs.fail_next(4);
    let missed = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let run = world.schedules.job_sync().run(stop.clone());
    let both = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        stop.cancel();
    };
    tokio::join!(run, both);
    assert_eq!(world.jobs.job(missed.id), Some(missed));
    assert!(world.jobs.calls() < 10, "it does not spin");
}

#[tokio::test]
async fn caller_that_leaves_at_any_await_loses_nothing() {
    for leave_after in 0..20 {
        let world = World::new();
        let id = world
            .schedules
            .create(world.user, new_schedule("@daily"))
            .await
            .unwrap()
            .id;
        let patch = SchedulePatch {
            title: Some("New".into()),
            ..SchedulePatch::default()
        };
        {
            let mut update = pin!(world.schedules.update(world.user, id, &patch, None));
            for _ in 0..leave_after {
                let polled = std::future::poll_fn(|cx| Poll::Ready(update.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    break;
                }
            }
        }
        world.schedules.job_sync().reconcile().await.unwrap();
        let stored = world.schedules.get(world.user, id).await.unwrap();
        assert_eq!(world.jobs.job(id), Some(stored));
        let after = world.schedules.update(world.user, id, &patch, None).await;
        assert!(after.is_ok(), "the user's lock was left behind");
    }
}
