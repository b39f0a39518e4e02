//! Many schedules that fall due in the same second, over the SQLite stores.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use steadfast_app::adapters::sqlite::{SqliteNotificationStore, SqliteScheduleStore};
use steadfast_clock::ManualClock;
use steadfast_notifications::{
    IdSource as _, NewSchedule, Notifications, OutboxRelay, OutboxSignal, ScheduleFired,
    SchedulerJobs, Schedules, UserId,
    test_util::{FakeUsers, RecordingPush},
};
use steadfast_scheduler::{Scheduler, SqliteJobStore};
use tokio_util::sync::CancellationToken;

use crate::stores::Stores;

const USERS: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_due_in_the_same_second_are_all_stored_and_pushed_once() {
    let stores = Stores::open().await;
    let (reader, writer) = stores.guarded();
    let clock = Arc::new(ManualClock::ticking(at("2026-03-02T08:00:00Z")));
    let schedule_store = Arc::new(SqliteScheduleStore::new(reader.clone(), writer.clone()));
    let store = Arc::new(SqliteNotificationStore::new(reader, writer));
    let signal = OutboxSignal::new();
    let users = Arc::new(FakeUsers::new([]));
    let notifications =
        Notifications::new(store.clone(), users, stores.ids.clone(), signal.clone())
            .with_clock(clock.clone());
    let push = Arc::new(RecordingPush::new());
    let relay = OutboxRelay::builder(store, push.clone(), signal)
        .clock(clock.clone())
        .build()
        .unwrap();
    let fired = ScheduleFired::new(schedule_store.clone(), Arc::new(notifications)).unwrap();
    let jobs = Arc::new(SqliteJobStore::new(stores.pools.writer.clone()));
    let scheduler = Scheduler::builder("burst", jobs, Arc::new(fired))
        .clock(clock.clone())
        .build()
        .unwrap();
    let jobs = Arc::new(SchedulerJobs::new(scheduler.clone()));
    let schedules = Schedules::builder(schedule_store, jobs, stores.ids.clone())
        .clock(clock.clone())
        .build()
        .unwrap();
    let owners: Vec<_> = (0..USERS)
        .map(|_| UserId::new(stores.ids.next_id()))
        .collect();
    let new: NewSchedule =
        serde_json::from_str(r#"{"cron":"0 9 * * *","tz":"UTC","title":"Water"}"#).unwrap();
    for &owner in &owners {
        schedules.create(owner, new.clone()).await.unwrap();
    }

    clock.set_wall(at("2026-03-02T08:59:59Z"));
    let stop = CancellationToken::new();
    let relaying = tokio::spawn({
        let stop = stop.clone();
        async move { relay.run(stop).await }
    });
    scheduler.start().await;
    let began = Instant::now();
    let in_time = tokio::time::timeout(Duration::from_secs(60), push.reached(USERS)).await;
    println!("pushed {} in {:?}", push.pushed().len(), began.elapsed());
    in_time.unwrap();
    scheduler.shutdown(Duration::from_secs(5)).await;
    stop.cancel();
    relaying.await.unwrap();
    for owner in owners {
        assert_eq!(push.offsets(owner), [1]);
    }
}

fn at(time: &str) -> SystemTime {
    SystemTime::try_from(time.parse::<jiff::Timestamp>().unwrap()).unwrap()
}
