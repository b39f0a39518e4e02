//! The whole way from a schedule to a stored notification, with a real scheduler.

use std::{sync::Arc, time::Duration};

use steadfast_notifications::{
    ListNotifications, MockScheduleStore, NewSchedule, Notification, PortError, ScheduleFired,
    SchedulePatch, SchedulerJobs, Schedules, StoredSchedule,
};
use steadfast_scheduler::{JobKey, MemoryJobStore, Scheduler};

use crate::{World, new_schedule};

struct Running {
    world: World,
    scheduler: Scheduler,
    schedules: Schedules,
}

impl Running {
    async fn start() -> Self {
        let world = World::new();
        let fired = ScheduleFired::new(world.store.clone(), world.notifications.clone()).unwrap();
        let jobs = Arc::new(MemoryJobStore::new());
        let scheduler = Scheduler::builder("notifications", jobs, Arc::new(fired))
            .clock(world.clock.clone())
            .build()
            .unwrap();
        let jobs = Arc::new(SchedulerJobs::new(scheduler.clone()));
        let schedules = Schedules::builder(world.store.clone(), jobs, world.ids.clone())
            .clock(world.clock.clone())
            .build()
            .unwrap();
        scheduler.start().await;
        Self {
            world,
            scheduler,
            schedules,
        }
    }

    async fn stored(&self) -> Vec<Notification> {
        let request = ListNotifications {
            after_seq: Some(0),
            ..ListNotifications::default()
        };
        self.world
            .notifications
            .list(self.world.user, &request)
            .await
            .unwrap()
            .items
    }
}

#[tokio::test(start_paused = true)]
async fn schedule_fires_at_its_times_until_it_is_paused() {
    let running = Running::start().await;
    let new = NewSchedule {
        tz: "UTC".into(),
        ..new_schedule("*/15 * * * *")
    };
    let schedule = running
        .schedules
        .create(running.world.user, new)
        .await
        .unwrap();

    // It is 08:00.
    tokio::time::sleep(Duration::from_secs(31 * 60)).await;
    let stored = running.stored().await;
    let times: Vec<_> = stored
        .iter()
        .map(|found| found.scheduled_for.unwrap().to_string())
        .collect();
    assert_eq!(times, ["2027-01-15T08:15:00Z", "2027-01-15T08:30:00Z"]);
    assert_eq!(stored[0].schedule_id, Some(schedule.id));
    assert_eq!(
        (&stored[0].title, &stored[0].body),
        (&schedule.title, &schedule.body)
    );

    running
        .schedules
        .pause(running.world.user, schedule.id)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    assert_eq!(running.stored().await.len(), 2);

    running
        .schedules
        .resume(running.world.user, schedule.id)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    let stored = running.stored().await;
    assert_eq!(stored.len(), 3, "what was missed stays missed: {stored:?}");

    running
        .schedules
        .delete(running.world.user, schedule.id, None)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60 * 60)).await;
    assert_eq!(running.stored().await.len(), 3);
    running.scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn changed_schedule_fires_by_its_new_plan_alone() {
    let running = Running::start().await;
    let new = new_schedule("*/15 * * * *");
    let schedule = running
        .schedules
        .create(running.world.user, new)
        .await
        .unwrap();
    let patch = SchedulePatch {
        cron: Some("5 * * * *".into()),
        title: Some("New title".into()),
        ..SchedulePatch::default()
    };
    running
        .schedules
        .update(running.world.user, schedule.id, &patch, None)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(50 * 60)).await;
    let stored = running.stored().await;
    let found: Vec<_> = stored.iter().map(|found| found.title.as_str()).collect();
    assert_eq!(found, ["New title"]);
}

#[tokio::test(start_paused = true)]
async fn run_now_stores_a_notification_beside_the_plan() {
    let running = Running::start().await;
    let schedule = running
        .schedules
        .create(running.world.user, new_schedule("@yearly"))
        .await;
    let id = schedule.unwrap().id;
    running
        .schedules
        .run_now(running.world.user, id)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stored = running.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].schedule_id, Some(id));
}

#[tokio::test(start_paused = true)]
async fn row_14_status_is_the_truth() {
    let running = Running::start().await;
    let schedule = running
        .schedules
        .create(running.world.user, new_schedule("@hourly"))
        .await;
    let schedule = schedule.unwrap();
    let status = async || {
        let key = JobKey::from(schedule.id.to_string());
        running.scheduler.status(&key).await.unwrap()
    };
    let shown = running.schedules.view(schedule.clone()).next_fires[0].timestamp();
    assert_eq!(status().await.unwrap().next_fire, Some(shown));
    running
        .schedules
        .pause(running.world.user, schedule.id)
        .await
        .unwrap();
    assert_eq!(status().await, None, "a paused schedule has no job");
}

#[tokio::test(start_paused = true)]
async fn occurrence_is_not_lost_while_the_store_fails() {
    let world = World::new();
    let schedule = world
        .schedules
        .create(world.user, new_schedule("@hourly"))
        .await
        .unwrap();
    let (mut failures, id) = (20, schedule.id);
    let mut store = MockScheduleStore::new();
    store.expect_load().times(21).returning(move |_| {
        if failures > 0 {
            failures -= 1;
            return Err(PortError::transient("database is locked"));
        }
        Ok(Some(StoredSchedule::Live(schedule.clone())))
    });
    let fired = ScheduleFired::new(Arc::new(store), world.notifications.clone()).unwrap();
    let scheduler = Scheduler::builder("n", Arc::new(MemoryJobStore::new()), Arc::new(fired))
        .clock(world.clock.clone())
        .build()
        .unwrap();
    scheduler.start().await;
    let jobs = SchedulerJobs::new(scheduler.clone());
    let schedule = world.schedules.get(world.user, id).await.unwrap();
    steadfast_notifications::Jobs::upsert(&jobs, &schedule)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(65 * 60)).await;
    let request = ListNotifications::default();
    let stored = world
        .notifications
        .list(world.user, &request)
        .await
        .unwrap()
        .items;
    assert_eq!(stored.len(), 1);
    assert_eq!(
        stored[0].scheduled_for.unwrap().to_string(),
        "2027-01-15T09:00:00Z"
    );
}
