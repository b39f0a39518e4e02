//! Notifications that programs send, and their idempotency keys.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use steadfast_notifications::{
    EventPayload, FireOutcome, IDEMPOTENCY_WINDOW, IdSource, MockNotificationStore, MockUsers,
    NewNotification, NotificationError, NotificationId, Notifications, OutboxSignal, PortError,
    PublishOutcome, UserId, test_util::FakeUsers,
};
use tokio::sync::Notify;

use crate::{World, invalid_notification, new_notification, pointers};

#[tokio::test]
async fn notification_has_the_names_of_the_contract() {
    let world = World::new();
    let stored = world
        .notifications
        .publish(world.other, new_notification(world.user), None)
        .await
        .unwrap();
    let found = world
        .notifications
        .get(world.user, stored.id)
        .await
        .unwrap();
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        json!({
            "id": stored.id.to_string(), "seq": 1, "user_id": world.user.to_string(),
            "title": "Deployed", "body": "All green", "topic": "deploys", "urgent": false,
            "schedule_id": null, "scheduled_for": null,
            "created_at": stored.created_at.to_string(), "read_at": null,
        })
    );
    let event = EventPayload::Notification {
        notification: stored,
    };
    assert_eq!(
        serde_json::to_value(event).unwrap(),
        json!({"type": "notification", "notification": found})
    );
}

#[tokio::test]
async fn every_field_at_fault_is_named() {
    let world = World::new();
    let bad = NewNotification {
        user_id: UserId::new(world.ids.next_id()),
        title: "x".repeat(201),
        body: "x".repeat(4_001),
        topic: Some(String::new()),
        urgent: true,
        channels: Some(vec!["email".into(), "smoke".into()]),
    };
    let outcome = world.notifications.publish(world.user, bad, Some("")).await;
    assert_eq!(
        pointers(&invalid_notification(outcome)),
        [
            "/user_id",
            "/title",
            "/body",
            "/topic",
            "/channels/1",
            "/idempotency_key"
        ]
    );
    assert_eq!(
        world
            .notifications
            .events(world.user, 0, 1)
            .await
            .unwrap()
            .newest,
        0
    );
}

#[tokio::test]
async fn same_key_answers_the_same_until_it_expires() {
    let world = World::new();
    let publish = |new| world.notifications.publish(world.other, new, Some("key-1"));
    let first = publish(new_notification(world.user)).await.unwrap();
    world
        .clock
        .advance(IDEMPOTENCY_WINDOW - Duration::from_secs(1));
    assert_eq!(publish(new_notification(world.user)).await.unwrap(), first);
    let other_body = NewNotification {
        urgent: true,
        ..new_notification(world.user)
    };
    let conflict = publish(other_body.clone()).await;
    assert!(
        matches!(conflict, Err(NotificationError::KeyReused)),
        "{conflict:?}"
    );
    let other_caller = world
        .notifications
        .publish(world.user, other_body.clone(), Some("key-1"));
    assert_eq!(
        other_caller.await.unwrap().seq,
        2,
        "keys belong to their caller"
    );

    world.clock.advance(Duration::from_secs(1));
    assert_eq!(publish(other_body).await.unwrap().seq, 3);
}

#[tokio::test]
async fn key_is_in_flight_while_its_publication_is_stored() {
    let world = World::new();
    let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let store = SlowStore {
        entered: entered.clone(),
        finish: finish.clone(),
    };
    let users = Arc::new(FakeUsers::new([world.user]));
    let slow = Notifications::new(
        Arc::new(store),
        users,
        world.ids.clone(),
        OutboxSignal::new(),
    );
    let publish = || slow.publish(world.user, new_notification(world.user), Some("key-1"));
    let second = async {
        entered.notified().await;
        let second = publish().await;
        let other_key = slow.publish(world.user, new_notification(world.user), Some("key-2"));
        finish.notify_one();
        finish.notify_one();
        (second, other_key.await)
    };
    let (first, (second, other_key)) = tokio::join!(publish(), second);
    assert!(
        matches!(second, Err(NotificationError::InFlight)),
        "{second:?}"
    );
    assert!(first.is_ok() && other_key.is_ok());
    finish.notify_one();
    assert!(publish().await.is_ok(), "the key is free again");
}

#[tokio::test]
async fn user_that_cannot_be_looked_up_stores_nothing() {
    let world = World::new();
    let mut users = MockUsers::new();
    users
        .expect_exists()
        .times(1)
        .returning(|_| Err(PortError::transient("down")));
    // Without expectations, any call of the store would panic.
    let store = Arc::new(MockNotificationStore::new());
    let notifications = Notifications::new(
        store,
        Arc::new(users),
        world.ids.clone(),
        OutboxSignal::new(),
    );
    let outcome = notifications
        .publish(world.user, new_notification(world.user), None)
        .await;
    assert_eq!(outcome.unwrap_err().to_string(), "could not look a user up");
}

#[tokio::test]
async fn failed_store_frees_the_key_and_raises_no_signal() {
    let world = World::new();
    let mut store = MockNotificationStore::new();
    store
        .expect_publish()
        .times(2)
        .returning(|_, _| Err(PortError::transient("database is locked")));
    let users = Arc::new(FakeUsers::new([world.user]));
    let signal = OutboxSignal::new();
    let notifications =
        Notifications::new(Arc::new(store), users, world.ids.clone(), signal.clone());
    for _ in 0..2 {
        let outcome = notifications
            .publish(world.user, new_notification(world.user), Some("key"))
            .await;
        assert!(
            matches!(outcome, Err(NotificationError::Store { .. })),
            "{outcome:?}"
        );
    }
    let raised = tokio::select! { biased; () = signal.raised() => true, () = async {} => false };
    assert!(!raised);
}

/// A store whose publications end when they are told to.
struct SlowStore {
    entered: Arc<Notify>,
    finish: Arc<Notify>,
}

#[async_trait::async_trait]
impl steadfast_notifications::NotificationStore for SlowStore {
    async fn publish<'a>(
        &self,
        draft: &steadfast_notifications::Draft,
        _claim: Option<&'a steadfast_notifications::IdempotencyClaim>,
    ) -> Result<PublishOutcome, PortError> {
        self.entered.notify_one();
        self.finish.notified().await;
        Ok(PublishOutcome::Stored(draft.numbered(1, None)))
    }

    async fn fire(
        &self,
        _: &steadfast_notifications::Draft,
        _: steadfast_notifications::Occurrence,
    ) -> Result<FireOutcome, PortError> {
        Err(PortError::permanent("not used"))
    }

    async fn get(
        &self,
        _: UserId,
        _: NotificationId,
    ) -> Result<Option<steadfast_notifications::Notification>, PortError> {
        Err(PortError::permanent("not used"))
    }

    async fn list(
        &self,
        _: UserId,
        _: steadfast_notifications::NotificationQuery,
    ) -> Result<Vec<steadfast_notifications::Notification>, PortError> {
        Err(PortError::permanent("not used"))
    }

    async fn mark_read(
        &self,
        _: UserId,
        _: &[NotificationId],
        _: jiff::Timestamp,
    ) -> Result<Vec<NotificationId>, PortError> {
        Err(PortError::permanent("not used"))
    }

    async fn mark_read_up_to(
        &self,
        _: UserId,
        _: u64,
        _: jiff::Timestamp,
        _: u32,
    ) -> Result<Vec<NotificationId>, PortError> {
        Err(PortError::permanent("not used"))
    }

    async fn delete(
        &self,
        _: UserId,
        _: &[NotificationId],
        _: jiff::Timestamp,
    ) -> Result<Vec<NotificationId>, PortError> {
        Err(PortError::permanent("not used"))
    }

    async fn events(
        &self,
        _: UserId,
        _: u64,
        _: u32,
    ) -> Result<steadfast_notifications::EventPage, PortError> {
        Err(PortError::permanent("not used"))
    }
}
