//! Changes of a schedule, one after the other and all at once.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use steadfast_notifications::{
    Misfire, MockJobs, MockScheduleStore, ScheduleError, SchedulePatch, Schedules, UpdateOutcome,
};
use tokio::task::JoinSet;

use crate::{World, invalid_schedule, new_schedule, pointers};

#[tokio::test]
async fn patch_changes_what_it_names() {
    let world = World::new();
    let before = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap();
    world.clock.advance(Duration::from_secs(5));
    let patch: SchedulePatch =
        serde_json::from_value(json!({"title": "Water", "misfire": "skip"})).unwrap();
    let after = world
        .schedules
        .update(world.user, before.id, &patch, Some(1))
        .await
        .unwrap();
    assert_eq!(
        (after.title.as_str(), after.misfire, after.version),
        ("Water", Misfire::Skip, 2)
    );
    assert_eq!(
        (&after.cron, &after.body, after.created_at),
        (&before.cron, &before.body, before.created_at)
    );
    assert!(after.updated_at > before.updated_at);
    assert_eq!(world.jobs.job(before.id), Some(after));

    let bad: SchedulePatch = serde_json::from_value(json!({"tz": "x", "title": ""})).unwrap();
    let outcome = world
        .schedules
        .update(world.user, before.id, &bad, None)
        .await;
    assert_eq!(pointers(&invalid_schedule(outcome)), ["/tz", "/title"]);
}

#[tokio::test]
async fn stale_version_is_refused() {
    let world = World::new();
    let id = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap()
        .id;
    let patch = SchedulePatch {
        title: Some("One".into()),
        ..SchedulePatch::default()
    };
    world
        .schedules
        .update(world.user, id, &patch, Some(1))
        .await
        .unwrap();
    for outcome in [
        world
            .schedules
            .update(world.user, id, &patch, Some(1))
            .await
            .map(drop),
        world.schedules.delete(world.user, id, Some(1)).await,
    ] {
        let error = outcome.unwrap_err();
        assert!(
            matches!(
                error,
                ScheduleError::VersionMismatch {
                    expected: 1,
                    actual: 2
                }
            ),
            "{error:?}"
        );
    }
    world
        .schedules
        .delete(world.user, id, Some(2))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn row_13_concurrent_updates_are_every_one_applied() {
    let world = World::new();
    let id = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap()
        .id;
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let (schedules, user) = (world.schedules.clone(), world.user);
        tasks.spawn(async move {
            let title = Some(format!("Update {n}"));
            let patch = SchedulePatch {
                title,
                ..SchedulePatch::default()
            };
            schedules.update(user, id, &patch, None).await
        });
    }
    let mut updates: Vec<_> = tasks
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    updates.sort_by_key(|updated| updated.version);
    let versions: Vec<_> = updates.iter().map(|updated| updated.version).collect();
    assert_eq!(
        versions,
        (2..=101).collect::<Vec<_>>(),
        "each has a version of its own"
    );

    let last = world.schedules.get(world.user, id).await.unwrap();
    assert_eq!(updates.last(), Some(&last), "the last one wins");
    assert_eq!(
        world.jobs.job(id),
        Some(last),
        "and is what the scheduler has"
    );
}

#[tokio::test]
async fn update_starts_over_when_another_process_was_faster() {
    let world = World::new();
    let stored = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap();
    let mut store = MockScheduleStore::new();
    let mut version = 1;
    store.expect_get().times(3).returning(move |_, _| {
        version += 1;
        Ok(Some(steadfast_notifications::Schedule {
            version,
            ..stored.clone()
        }))
    });
    let mut attempts = 0;
    store
        .expect_update()
        .times(3)
        .returning(move |_, expected| {
            attempts += 1;
            Ok(match attempts {
                3 => UpdateOutcome::Updated,
                _ => UpdateOutcome::Stale {
                    actual: expected + 1,
                },
            })
        });
    store.expect_load().returning(|_| Ok(None));
    let mut jobs = MockJobs::new();
    jobs.expect_remove().returning(|_| Ok(()));

    let schedules = Schedules::builder(Arc::new(store), Arc::new(jobs), world.ids.clone()).build();
    let id = steadfast_notifications::ScheduleId::new(uuid::Uuid::nil());
    let updated = schedules
        .unwrap()
        .update(world.user, id, &SchedulePatch::default(), None)
        .await;
    assert_eq!(updated.unwrap().version, 5, "built on the third reading");
}
