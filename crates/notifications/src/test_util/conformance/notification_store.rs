use std::collections::HashSet;

use super::Examples;
use crate::{
    Draft, EventPayload, FireOutcome, IdSource, IdempotencyClaim, MAX_EVENTS_PER_USER,
    Notification, NotificationId, NotificationQuery, NotificationStore, Occurrence, Order,
    PortError, PublishOutcome, Schedule, ScheduleStore, UserId,
};

/// What every [`NotificationStore`] must do, beside the [`ScheduleStore`] over the same rows.
///
/// # Errors
///
/// Those of the stores.
///
/// # Panics
///
/// If a store does something else.
pub async fn notifications(
    schedules: &dyn ScheduleStore,
    store: &dyn NotificationStore,
    ids: &dyn IdSource,
) -> Result<(), PortError> {
    let examples = Examples::new(ids);
    publications_are_numbered_per_user(store, &examples).await?;
    key_publishes_once(store, &examples).await?;
    occurrence_is_stored_once(schedules, store, &examples).await?;
    schedule_that_is_not_enabled_stores_nothing(schedules, store, &examples).await?;
    lists_go_both_ways(store, &examples).await?;
    reading_and_deleting_are_events(store, &examples).await?;
    reading_up_to_a_number_is_batched(store, &examples).await?;
    rows_of_others_are_absent(store, &examples).await?;
    log_keeps_the_newest_events(store, &examples).await
}

async fn publications_are_numbered_per_user(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let (one, other) = (examples.user(), examples.user());
    let empty = store.events(one, 0, 10).await?;
    assert_eq!((empty.newest, empty.events), (0, vec![]));

    let plain = Draft {
        topic: None,
        urgent: false,
        body: String::new(),
        ..examples.draft(one)
    };
    let drafts = [examples.draft(one), examples.draft(other), plain];
    for (draft, seq) in drafts.iter().zip([1, 1, 2]) {
        let stored = publish(store, draft).await?;
        assert_eq!(stored, draft.numbered(seq, None));
        assert_eq!(
            store.get(draft.user_id, draft.id).await?,
            Some(stored.clone())
        );

        let page = store.events(draft.user_id, seq - 1, 10).await?;
        assert_eq!(
            page.epoch, empty.epoch,
            "the epoch was there before the first event"
        );
        assert_eq!(page.newest, seq);
        let payloads: Vec<_> = page.events.into_iter().map(|event| event.payload).collect();
        assert_eq!(
            payloads,
            [EventPayload::Notification {
                notification: stored
            }]
        );
    }
    Ok(())
}

async fn key_publishes_once(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let claim = IdempotencyClaim {
        caller: examples.user(),
        key: "deploy-1".into(),
        body_hash: [1; 32],
        expires_at: examples.at(60),
    };
    let first = store.publish(&examples.draft(user), Some(&claim)).await?;
    let PublishOutcome::Stored(first) = first else {
        panic!("{first:?}")
    };

    // The answer is the one from then, whatever has become of it.
    store.delete(user, &[first.id], examples.now).await?;
    let again = Draft {
        created_at: examples.at(59),
        ..examples.draft(user)
    };
    let replayed = store.publish(&again, Some(&claim)).await?;
    assert_eq!(replayed, PublishOutcome::Replayed(first.clone()));
    let other_body = IdempotencyClaim {
        body_hash: [2; 32],
        ..claim.clone()
    };
    let reused = store.publish(&again, Some(&other_body)).await?;
    assert_eq!(reused, PublishOutcome::KeyReused);
    assert_eq!(
        store.list(user, newest(10)).await?,
        [],
        "nothing was stored twice"
    );

    for other in [
        IdempotencyClaim {
            caller: examples.user(),
            ..other_body.clone()
        },
        IdempotencyClaim {
            key: "deploy-2".into(),
            ..other_body.clone()
        },
    ] {
        let stored = store.publish(&examples.draft(user), Some(&other)).await?;
        assert!(matches!(stored, PublishOutcome::Stored(_)), "{stored:?}");
    }
    let late = Draft {
        created_at: examples.at(60),
        ..examples.draft(user)
    };
    let renewed = IdempotencyClaim {
        expires_at: examples.at(120),
        ..other_body
    };
    let stored = store.publish(&late, Some(&renewed)).await?;
    assert_eq!(
        stored,
        PublishOutcome::Stored(late.numbered(4, None)),
        "a key expires"
    );
    let again = store
        .publish(
            &Draft {
                id: again.id,
                ..late.clone()
            },
            Some(&renewed),
        )
        .await?;
    assert_eq!(again, PublishOutcome::Replayed(late.numbered(4, None)));
    Ok(())
}

async fn occurrence_is_stored_once(
    schedules: &dyn ScheduleStore,
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let schedule = examples.schedule(examples.user());
    schedules.insert(&schedule, 10).await?;
    let user = schedule.user_id;
    let occurrence = Occurrence {
        schedule_id: schedule.id,
        scheduled_for: examples.at(10),
    };
    let draft = examples.draft(user);
    let first = store.fire(&draft, occurrence).await?;
    let stored = draft.numbered(1, Some(occurrence));
    assert_eq!(first, FireOutcome::Stored(stored.clone()));
    assert_eq!(stored.schedule_id, Some(schedule.id));

    let again = store.fire(&examples.draft(user), occurrence).await?;
    assert_eq!(again, FireOutcome::AlreadyStored);
    store.delete(user, &[stored.id], examples.now).await?;
    let again = store.fire(&examples.draft(user), occurrence).await?;
    assert_eq!(
        again,
        FireOutcome::AlreadyStored,
        "also when its notification is gone"
    );

    let later = Occurrence {
        scheduled_for: examples.at(11),
        ..occurrence
    };
    let draft = examples.draft(user);
    let next = store.fire(&draft, later).await?;
    let numbered = draft.numbered(2, Some(later));
    assert_eq!(
        next,
        FireOutcome::Stored(numbered.clone()),
        "the failed fires took no number"
    );
    assert_eq!(store.get(user, numbered.id).await?, Some(numbered));
    assert_eq!(
        store.events(user, 0, 10).await?.newest,
        3,
        "stored, deleted, stored"
    );
    Ok(())
}

async fn schedule_that_is_not_enabled_stores_nothing(
    schedules: &dyn ScheduleStore,
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let removed = examples.schedule(user);
    schedules.insert(&removed, 10).await?;
    schedules.remove(user, removed.id, None).await?;
    let paused = Schedule {
        enabled: false,
        ..examples.schedule(user)
    };
    schedules.insert(&paused, 10).await?;
    let of_another = examples.schedule(examples.user());
    schedules.insert(&of_another, 10).await?;

    let unknown = examples.schedule(user);
    for schedule in [&removed, &paused, &of_another, &unknown] {
        let occurrence = Occurrence {
            schedule_id: schedule.id,
            scheduled_for: examples.now,
        };
        let fired = store.fire(&examples.draft(user), occurrence).await?;
        assert_eq!(fired, FireOutcome::NotEnabled);
    }
    assert_eq!(store.events(user, 0, 10).await?.newest, 0);

    // What did not fire then may fire once it is resumed.
    let resumed = Schedule {
        enabled: true,
        version: 2,
        ..paused
    };
    schedules.update(&resumed, 1).await?;
    let occurrence = Occurrence {
        schedule_id: resumed.id,
        scheduled_for: examples.now,
    };
    let fired = store.fire(&examples.draft(user), occurrence).await?;
    assert!(matches!(fired, FireOutcome::Stored(_)), "{fired:?}");
    Ok(())
}

async fn lists_go_both_ways(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let stored = publish_many(store, examples, user, 5).await?;
    store.mark_read(user, &[stored[3].id], examples.now).await?;

    let seqs = |order, unread, limit| async move {
        let query = NotificationQuery {
            order,
            unread,
            limit,
        };
        let found = store.list(user, query).await?;
        Ok::<_, PortError>(found.into_iter().map(|found| found.seq).collect::<Vec<_>>())
    };
    let before = |before| Order::NewestFirst { before };
    assert_eq!(seqs(before(None), false, 3).await?, [5, 4, 3]);
    assert_eq!(seqs(before(Some(3)), false, 3).await?, [2, 1]);
    assert_eq!(seqs(before(None), true, 2).await?, [5, 3]);
    assert_eq!(
        seqs(Order::OldestFirst { after: 0 }, false, 2).await?,
        [1, 2]
    );
    assert_eq!(
        seqs(Order::OldestFirst { after: 2 }, true, 9).await?,
        [3, 5]
    );
    assert_eq!(
        seqs(Order::OldestFirst { after: u64::MAX }, false, 9).await?,
        [0; 0]
    );
    Ok(())
}

async fn reading_and_deleting_are_events(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let stored = publish_many(store, examples, user, 3).await?;
    let ids: Vec<_> = stored.iter().map(|notification| notification.id).collect();
    let unknown = NotificationId::new(examples.ids.next_id());

    let read = store
        .mark_read(user, &[ids[0], unknown, ids[1]], examples.at(5))
        .await?;
    assert_eq!(as_set(&read), as_set(&ids[..2]));
    let found = store.get(user, ids[0]).await?;
    assert_eq!(found.and_then(|found| found.read_at), Some(examples.at(5)));
    let read_again = store.mark_read(user, &ids, examples.at(6)).await?;
    assert_eq!(read_again, [ids[2]], "only what was unread");
    let found = store.get(user, ids[0]).await?;
    assert_eq!(
        found.and_then(|found| found.read_at),
        Some(examples.at(5)),
        "the date stays"
    );
    assert_eq!(store.mark_read(user, &ids, examples.at(7)).await?, []);

    assert_eq!(
        store
            .delete(user, &[ids[1], unknown], examples.at(8))
            .await?,
        [ids[1]]
    );
    assert_eq!(store.delete(user, &[ids[1]], examples.at(9)).await?, []);
    assert_eq!(store.delete(user, &[], examples.at(9)).await?, []);
    assert_eq!(store.get(user, ids[1]).await?, None);

    let page = store.events(user, 3, 10).await?;
    assert_eq!(page.newest, 6, "what changed nothing is no event");
    let payloads: Vec<_> = page.events.iter().map(|event| &event.payload).collect();
    let read = EventPayload::Read { ids: read };
    let read_again = EventPayload::Read { ids: vec![ids[2]] };
    let deleted = EventPayload::Deleted { ids: vec![ids[1]] };
    assert_eq!(payloads, [&read, &read_again, &deleted]);
    assert_eq!(
        page.events
            .iter()
            .map(|event| event.offset)
            .collect::<Vec<_>>(),
        [4, 5, 6]
    );
    let last_two = store.events(user, 4, 1).await?;
    assert_eq!((last_two.newest, last_two.events.len()), (6, 1));
    Ok(())
}

async fn reading_up_to_a_number_is_batched(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let stored = publish_many(store, examples, user, 5).await?;
    let ids: Vec<_> = stored.iter().map(|notification| notification.id).collect();
    store.mark_read(user, &ids[..1], examples.now).await?;

    let first = store.mark_read_up_to(user, 4, examples.now, 2).await?;
    assert_eq!(as_set(&first), as_set(&ids[1..3]), "the oldest unread ones");
    assert_eq!(
        store.mark_read_up_to(user, 4, examples.now, 2).await?,
        [ids[3]]
    );
    assert_eq!(store.mark_read_up_to(user, 4, examples.now, 2).await?, []);
    let last = store.get(user, ids[4]).await?;
    assert_eq!(last.map(|last| last.read_at), Some(None));
    assert_eq!(store.events(user, 0, 0).await?.newest, 8);
    Ok(())
}

async fn rows_of_others_are_absent(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let (owner, other) = (examples.user(), examples.user());
    let stored = publish(store, &examples.draft(owner)).await?;
    assert_eq!(store.get(other, stored.id).await?, None);
    assert_eq!(store.list(other, newest(10)).await?, []);
    assert_eq!(
        store.mark_read(other, &[stored.id], examples.now).await?,
        []
    );
    assert_eq!(store.mark_read_up_to(other, 9, examples.now, 9).await?, []);
    assert_eq!(store.delete(other, &[stored.id], examples.now).await?, []);
    assert_eq!(store.events(other, 0, 10).await?.newest, 0);
    assert_eq!(store.get(owner, stored.id).await?, Some(stored));
    Ok(())
}

async fn log_keeps_the_newest_events(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    let count = MAX_EVENTS_PER_USER + 3;
    publish_many(store, examples, user, count).await?;
    let page = store.events(user, 0, u32::MAX).await?;
    assert_eq!(page.newest, count);
    let offsets: Vec<_> = page.events.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, (4..=count).collect::<Vec<_>>());
    assert_eq!(
        store.list(user, newest(1)).await?[0].seq,
        count,
        "notifications stay"
    );
    Ok(())
}

pub(super) async fn publish(
    store: &dyn NotificationStore,
    draft: &Draft,
) -> Result<Notification, PortError> {
    match store.publish(draft, None).await? {
        PublishOutcome::Stored(stored) => Ok(stored),
        other => panic!("{other:?} is no answer to a publication without a key"),
    }
}

async fn publish_many(
    store: &dyn NotificationStore,
    examples: &Examples<'_>,
    user: UserId,
    count: u64,
) -> Result<Vec<Notification>, PortError> {
    let mut stored = Vec::new();
    for _ in 0..count {
        stored.push(publish(store, &examples.draft(user)).await?);
    }
    Ok(stored)
}

fn newest(limit: u32) -> NotificationQuery {
    NotificationQuery {
        order: Order::NewestFirst { before: None },
        unread: false,
        limit,
    }
}

fn as_set(ids: &[NotificationId]) -> HashSet<NotificationId> {
    ids.iter().copied().collect()
}
