//! Public behaviour of the crate, over the stores in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod channels;
mod conformance;
mod deliverer;
mod dispatches;
mod job_sync;
mod notifications;
mod outbox_relay;
mod preference_plan;
mod preferences;
mod preview;
mod publishing;
mod schedule_updates;
mod scheduled;
mod schedules;
mod templates;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use steadfast_clock::ManualClock;
use steadfast_notifications::{
    IdSource, Invalid, NewNotification, NewSchedule, NotificationError, Notifications,
    OutboxSignal, ScheduleError, Schedules, UserId, V7Ids,
    test_util::{FakeJobs, FakeUsers, MemoryStore},
};

/// Both services over one store in memory, with two users.
struct World {
    clock: Arc<ManualClock>,
    ids: Arc<V7Ids>,
    store: Arc<MemoryStore>,
    jobs: Arc<FakeJobs>,
    signal: OutboxSignal,
    schedules: Arc<Schedules>,
    notifications: Arc<Notifications>,
    user: UserId,
    other: UserId,
}

impl World {
    fn new() -> Self {
        // 2027-01-15T08:00:00Z, a Friday.
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Arc::new(ManualClock::ticking(start));
        let ids = Arc::new(V7Ids::new(clock.clone(), [3; 32]));
        let (user, other) = (UserId::new(ids.next_id()), UserId::new(ids.next_id()));
        let store = Arc::new(MemoryStore::new());
        let jobs = Arc::new(FakeJobs::new());
        let signal = OutboxSignal::new();
        let schedules = Schedules::builder(store.clone(), jobs.clone(), ids.clone())
            .clock(clock.clone())
            .max_per_user(3)
            .build()
            .unwrap();
        let users = Arc::new(FakeUsers::new([user, other]));
        let notifications = Notifications::new(store.clone(), users, ids.clone(), signal.clone())
            .with_clock(clock.clone());
        Self {
            clock,
            ids,
            store,
            jobs,
            signal,
            schedules: Arc::new(schedules),
            notifications: Arc::new(notifications),
            user,
            other,
        }
    }
}

fn new_schedule(cron: &str) -> NewSchedule {
    serde_json::from_value(serde_json::json!({
        "cron": cron, "tz": "Europe/Berlin", "title": "Stand-up", "body": "Bring news",
    }))
    .unwrap()
}

fn new_notification(user: UserId) -> NewNotification {
    NewNotification {
        user_id: user,
        title: "Deployed".into(),
        body: "All green".into(),
        topic: Some("deploys".into()),
        urgent: false,
        channels: None,
    }
}

fn pointers(invalid: &Invalid) -> Vec<&str> {
    invalid
        .errors
        .iter()
        .map(|error| error.pointer.as_str())
        .collect()
}

fn invalid_schedule<T: std::fmt::Debug>(outcome: Result<T, ScheduleError>) -> Invalid {
    match outcome {
        Err(ScheduleError::Validate(invalid)) => invalid,
        other => panic!("{other:?} does not name fields"),
    }
}

fn invalid_notification<T: std::fmt::Debug>(outcome: Result<T, NotificationError>) -> Invalid {
    match outcome {
        Err(NotificationError::Validate(invalid)) => invalid,
        other => panic!("{other:?} does not name fields"),
    }
}
