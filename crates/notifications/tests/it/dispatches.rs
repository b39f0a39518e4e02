//! Where and when what is stored is to be delivered.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Value, json};
use steadfast_notifications::{
    ChannelKind, Dispatch, Draft, FireOutcome, MockNotificationStore, MockPreferenceStore,
    NewNotification, NotificationError, Notifications, PortError, PublishOutcome, UserPreferences,
};

use crate::{World, new_notification, new_schedule};

/// Notifications whose store only notes what it is to store.
struct Noted {
    world: World,
    notifications: Notifications,
    dispatches: Arc<Mutex<Vec<Dispatch>>>,
}

impl Noted {
    async fn with_preferences(preferences: Value) -> Self {
        let world = World::new();
        let service = UserPreferences::new(world.store.clone());
        let new = serde_json::from_value(preferences).unwrap();
        service.replace(world.user, &new, None).await.unwrap();

        let dispatches = Arc::new(Mutex::new(Vec::new()));
        let noted = dispatches.clone();
        let note = move |draft: &Draft| {
            noted.lock().unwrap().push(draft.dispatch.clone());
            draft.numbered(1, None)
        };
        let mut store = MockNotificationStore::new();
        let publish = note.clone();
        store
            .expect_publish()
            .returning(move |draft, _| Ok(PublishOutcome::Stored(publish(draft))));
        store
            .expect_fire()
            .returning(move |draft, _| Ok(FireOutcome::Stored(note(draft))));
        let users = steadfast_notifications::test_util::FakeUsers::new([world.user, world.other]);
        let notifications = Notifications::new(
            Arc::new(store),
            Arc::new(users),
            world.ids.clone(),
            world.signal.clone(),
        )
        .with_preferences(world.store.clone())
        .with_clock(world.clock.clone());
        Self {
            world,
            notifications,
            dispatches,
        }
    }

    async fn published(&self, change: impl FnOnce(&mut NewNotification)) -> Dispatch {
        let mut new = new_notification(self.world.user);
        change(&mut new);
        let stored = self.notifications.publish(self.world.user, new, None).await;
        assert_eq!(stored.unwrap().created_at, now(), "it is stored at once");
        self.last()
    }

    fn last(&self) -> Dispatch {
        self.dispatches.lock().unwrap().last().unwrap().clone()
    }
}

/// 09:00 in Berlin.
fn now() -> Timestamp {
    "2027-01-15T08:00:00Z".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn to_webhook(new: &mut NewNotification) {
    new.channels = Some(vec!["webhook".into()]);
}

#[tokio::test(start_paused = true)]
async fn deliveries_wait_for_the_end_of_quiet_hours_and_the_notification_does_not() {
    let quiet = json!({"tz": "Europe/Berlin", "quiet_hours": {"from": "08:00", "to": "12:00"}});
    let noted = Noted::with_preferences(quiet).await;
    let held = noted.published(to_webhook).await;
    let kinds = vec![ChannelKind::Webhook];
    let until = at("2027-01-15T11:00:00Z");
    assert_eq!(held, Dispatch::single(kinds.clone(), until));
    let urgent = noted.published(|new| {
        to_webhook(new);
        new.urgent = true;
    });
    assert_eq!(urgent.await, Dispatch::single(kinds, now()));
    let other = noted.published(|new| {
        to_webhook(new);
        new.user_id = noted.world.other;
    });
    assert_eq!(other.await.at, now(), "it is about the receiver");
}

#[tokio::test(start_paused = true)]
async fn deliveries_of_a_schedule_gather_for_the_digest() {
    let digest = json!({"tz": "Europe/Berlin", "digest": {"at": ["18:00"]}});
    let noted = Noted::with_preferences(digest).await;
    let schedule = noted.world.schedules;
    let mut new = new_schedule("@daily");
    new.channels = vec!["ws".into(), "email".into()];
    let schedule = schedule.create(noted.world.user, new).await.unwrap();
    let fired = noted.notifications.fire(&schedule, now()).await.unwrap();
    assert!(matches!(fired, FireOutcome::Stored(_)));
    let expected = Dispatch {
        kinds: vec![ChannelKind::Ws, ChannelKind::Email],
        at: at("2027-01-15T17:00:00Z"),
        digest: true,
    };
    let dispatches = noted.dispatches.lock().unwrap();
    assert_eq!(dispatches[..], [expected]);
}

#[tokio::test(start_paused = true)]
async fn who_names_no_channels_has_those_of_the_receiver() {
    let by_mail = json!({"channels": ["email", "ws"]});
    let noted = Noted::with_preferences(by_mail).await;
    let kinds = noted.published(|_| ()).await.kinds;
    assert_eq!(kinds, [ChannelKind::Email, ChannelKind::Ws]);
    assert_eq!(
        noted.published(to_webhook).await.kinds,
        [ChannelKind::Webhook]
    );
    let unset = noted.published(|new| new.user_id = noted.world.other).await;
    assert_eq!(unset, Dispatch::single(vec![ChannelKind::Ws], now()));
}

#[tokio::test(start_paused = true)]
async fn preferences_that_cannot_be_read_store_nothing_and_are_not_needed_for_live_pushes() {
    let noted = Noted::with_preferences(json!({})).await;
    let mut broken = MockPreferenceStore::new();
    broken
        .expect_get()
        .times(1)
        .returning(|_| Err(PortError::transient("database is locked")));
    let notifications = noted.notifications.with_preferences(Arc::new(broken));
    let user = noted.world.user;
    let failed = notifications
        .publish(user, new_notification(user), None)
        .await;
    match failed.unwrap_err() {
        NotificationError::Store { source, .. } => assert!(source.is_transient()),
        other => panic!("{other:?}"),
    }
    assert!(noted.dispatches.lock().unwrap().is_empty());
    let mut live = new_notification(user);
    live.channels = Some(vec!["ws".into()]);
    notifications.publish(user, live, None).await.unwrap();
}
