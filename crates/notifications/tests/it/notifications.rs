use steadfast_notifications::{
    EventPayload, FireOutcome, IdSource, ListNotifications, MAX_IDS, NotificationError,
    NotificationId, PageRequest,
};
use tokio::task::JoinSet;

use crate::{World, invalid_notification, new_notification, new_schedule, pointers};

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
            .publish(world.user, new_notification(world.user), None)
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
            .publish(world.user, new_notification(world.user), None)
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
        .publish(world.user, new_notification(world.user), None)
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
