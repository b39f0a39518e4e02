use std::{sync::Arc, time::Duration};

use serde_json::json;
use steadfast_notifications::{
    EventPayload, FireOutcome, IDEMPOTENCY_WINDOW, IdSource, ListNotifications, MAX_IDS,
    MockNotificationStore, MockUsers, NewNotification, NotificationError, NotificationId,
    Notifications, OutboxSignal, PageRequest, PortError, PublishOutcome, UserId,
    test_util::FakeUsers,
};
use tokio::{sync::Notify, task::JoinSet};

use crate::{World, invalid_notification, new_schedule, pointers};

fn new(user: UserId) -> NewNotification {
    NewNotification {
        user_id: user,
        title: "Deployed".into(),
        body: "All green".into(),
        topic: Some("deploys".into()),
        urgent: false,
    }
}

#[tokio::test]
async fn notification_has_the_names_of_the_contract() {
    let world = World::new();
    let stored = world
        .notifications
        .publish(world.other, new(world.user), None)
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
    };
    let outcome = world.notifications.publish(world.user, bad, Some("")).await;
    assert_eq!(
        pointers(&invalid_notification(outcome)),
        ["/user_id", "/title", "/body", "/topic", "/idempotency_key"]
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
    let first = publish(new(world.user)).await.unwrap();
    world
        .clock
        .advance(IDEMPOTENCY_WINDOW - Duration::from_secs(1));
    assert_eq!(publish(new(world.user)).await.unwrap(), first);
    let other_body = NewNotification {
        urgent: true,
        ..new(world.user)
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
    let publish = || slow.publish(world.user, new(world.user), Some("key-1"));
    let second = async {
        entered.notified().await;
        let second = publish().await;
        let other_key = slow.publish(world.user, new(world.user), Some("key-2"));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn occurrence_that_fires_many_times_is_stored_once() {
    let world = World::new();
    let schedule = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let (notifications, schedule) = (world.notifications.clone(), schedule.clone());
        let scheduled_for = jiff::Timestamp::from_second(1_800_000_000 + n % 2).unwrap();
        tasks.spawn(async move { notifications.fire(&schedule, scheduled_for).await.unwrap() });
    }
    let outcomes = tasks.join_all().await;
    let stored = outcomes
        .iter()
        .filter(|fired| matches!(fired, FireOutcome::Stored(_)));
    assert_eq!(stored.count(), 2);
    let listed = world
        .notifications
        .list(world.user, &ListNotifications::default())
        .await
        .unwrap();
    let seqs: Vec<_> = listed
        .items
        .iter()
        .map(|item| (item.seq, item.schedule_id))
        .collect();
    assert_eq!(seqs, [(2, Some(schedule.id)), (1, Some(schedule.id))]);
}

#[tokio::test]
async fn paused_or_deleted_schedule_stores_nothing() {
    let world = World::new();
    let schedule = world
        .schedules
        .create(world.user, new_schedule("@daily"))
        .await
        .unwrap();
    let at = schedule.created_at;
    world
        .schedules
        .pause(world.user, schedule.id)
        .await
        .unwrap();
    // A fire that began before the pause has the schedule as it was then.
    assert_eq!(
        world.notifications.fire(&schedule, at).await.unwrap(),
        FireOutcome::NotEnabled
    );
    world
        .schedules
        .resume(world.user, schedule.id)
        .await
        .unwrap();
    world
        .schedules
        .delete(world.user, schedule.id, None)
        .await
        .unwrap();
    assert_eq!(
        world.notifications.fire(&schedule, at).await.unwrap(),
        FireOutcome::NotEnabled
    );
}

#[tokio::test]
async fn lists_are_cut_into_pages_in_both_directions() {
    let world = World::new();
    for _ in 0..5 {
        world
            .notifications
            .publish(world.user, new(world.user), None)
            .await
            .unwrap();
    }
    let mut request = ListNotifications {
        page: PageRequest {
            limit: 2,
            cursor: None,
        },
        ..ListNotifications::default()
    };
    assert_eq!(
        all_pages(&world, &request).await,
        [vec![5, 4], vec![3, 2], vec![1]]
    );
    request.after_seq = Some(1);
    assert_eq!(all_pages(&world, &request).await, [vec![2, 3], vec![4, 5]]);

    request.page.cursor = Some("sideways-3".into());
    let outcome = world.notifications.list(world.user, &request).await;
    assert_eq!(pointers(&invalid_notification(outcome)), ["/cursor"]);
}

#[tokio::test]
async fn reading_everything_takes_batches() {
    let world = World::new();
    for _ in 0..1_200 {
        world
            .notifications
            .publish(world.user, new(world.user), None)
            .await
            .unwrap();
    }
    assert_eq!(
        world
            .notifications
            .mark_all_read(world.user, Some(100))
            .await
            .unwrap(),
        100
    );
    assert_eq!(
        world
            .notifications
            .mark_all_read(world.user, None)
            .await
            .unwrap(),
        1_100
    );
    assert_eq!(
        world
            .notifications
            .mark_all_read(world.user, None)
            .await
            .unwrap(),
        0
    );
    let unread = ListNotifications {
        unread: true,
        ..ListNotifications::default()
    };
    assert!(
        world
            .notifications
            .list(world.user, &unread)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let events = world
        .notifications
        .events(world.user, 1_200, 9)
        .await
        .unwrap()
        .events;
    let sizes: Vec<_> = events
        .iter()
        .map(|event| match &event.payload {
            EventPayload::Read { ids } => ids.len(),
            other => panic!("{other:?} is no reading"),
        })
        .collect();
    assert_eq!(sizes, [100, 500, 500, 100]);
}

#[tokio::test]
async fn changes_raise_the_signal_and_no_change_does_not() {
    let world = World::new();
    let raised = async || {
        tokio::select! {
            biased;
            () = world.signal.raised() => true,
            () = std::future::ready(()) => false,
        }
    };
    assert!(!raised().await);
    let stored = world
        .notifications
        .publish(world.user, new(world.user), None)
        .await
        .unwrap();
    assert!(raised().await && !raised().await);
    world
        .notifications
        .mark_read(world.user, &[stored.id])
        .await
        .unwrap();
    assert!(raised().await);
    world
        .notifications
        .mark_read(world.user, &[stored.id])
        .await
        .unwrap();
    assert!(!raised().await);
    world
        .notifications
        .delete(world.user, &[stored.id])
        .await
        .unwrap();
    assert!(raised().await);
    let gone = world.notifications.get(world.user, stored.id).await;
    assert!(
        matches!(gone, Err(NotificationError::Find { .. })),
        "{gone:?}"
    );
}

#[tokio::test]
async fn too_many_ids_are_refused() {
    let world = World::new();
    let ids: Vec<_> = (0..=MAX_IDS)
        .map(|_| NotificationId::new(world.ids.next_id()))
        .collect();
    let outcome = world.notifications.mark_read(world.user, &ids).await;
    assert_eq!(pointers(&invalid_notification(outcome)), ["/ids"]);
    let outcome = world.notifications.delete(world.user, &ids).await;
    assert_eq!(pointers(&invalid_notification(outcome)), ["/ids"]);
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
        .publish(world.user, new(world.user), None)
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
            .publish(world.user, new(world.user), Some("key"))
            .await;
        assert!(
            matches!(outcome, Err(NotificationError::Store { .. })),
            "{outcome:?}"
        );
    }
    let raised = tokio::select! { biased; () = signal.raised() => true, () = async {} => false };
    assert!(!raised);
}

async fn all_pages(world: &World, request: &ListNotifications) -> Vec<Vec<u64>> {
    let (mut request, mut pages) = (request.clone(), Vec::new());
    loop {
        let page = world
            .notifications
            .list(world.user, &request)
            .await
            .unwrap();
        pages.push(page.items.iter().map(|item| item.seq).collect());
        match page.next {
            Some(next) => request.page.cursor = Some(next),
            None => return pages,
        }
    }
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
