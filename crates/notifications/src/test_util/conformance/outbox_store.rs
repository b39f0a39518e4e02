use super::{Examples, notification_store::publish};
use crate::{IdSource, NotificationStore, OutboxClaim, OutboxStore, PortError, Settlement, UserId};

/// What every [`OutboxStore`] must do, beside the [`NotificationStore`] over the same rows.
///
/// Nothing may be pending when it begins.
///
/// # Errors
///
/// Those of the stores.
///
/// # Panics
///
/// If a store does something else.
pub async fn outbox(
    notifications: &dyn NotificationStore,
    store: &dyn OutboxStore,
    ids: &dyn IdSource,
) -> Result<(), PortError> {
    let examples = Examples::new(ids);
    events_are_pending_until_pushed(notifications, store, &examples).await?;
    user_is_claimed_by_one_at_a_time(notifications, store, &examples).await?;
    failed_push_waits_and_counts(notifications, store, &examples).await?;
    longest_waiting_comes_first(notifications, store, &examples).await
}

async fn events_are_pending_until_pushed(
    notifications: &dyn NotificationStore,
    store: &dyn OutboxStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    assert_eq!(
        store.claim(examples.now, examples.at(30), 9, 9).await?,
        [],
        "nothing is pending"
    );
    let user = examples.user();
    for _ in 0..3 {
        publish(notifications, &examples.draft(user)).await?;
    }
    let first = claim_one(store, examples, 0, 2).await?;
    let log = notifications.events(user, 0, 2).await?;
    assert_eq!((first.user_id, first.failures), (user, 0));
    assert_eq!((&first.epoch, &first.events), (&log.epoch, &log.events));

    // What is stored while a claim is out is pending after it.
    publish(notifications, &examples.draft(user)).await?;
    store.settle(&first, pushed(examples, 1)).await?;
    let second = claim_one(store, examples, 1, 9).await?;
    assert_eq!(offsets(&second), [3, 4]);
    publish(notifications, &examples.draft(user)).await?;
    store.settle(&second, pushed(examples, 2)).await?;
    let third = claim_one(store, examples, 2, 9).await?;
    assert_eq!(offsets(&third), [5]);
    store.settle(&third, pushed(examples, 3)).await?;
    assert_eq!(
        store.claim(examples.at(3), examples.at(33), 9, 9).await?,
        []
    );

    publish(notifications, &examples.draft(user)).await?;
    let fourth = claim_one(store, examples, 4, 9).await?;
    assert_eq!(offsets(&fourth), [6]);
    store.settle(&fourth, pushed(examples, 4)).await
}

async fn user_is_claimed_by_one_at_a_time(
    notifications: &dyn NotificationStore,
    store: &dyn OutboxStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    publish(notifications, &examples.draft(user)).await?;
    let crashed = claim_one(store, examples, 0, 9).await?;
    publish(notifications, &examples.draft(user)).await?;
    assert_eq!(
        store.claim(examples.at(29), examples.at(59), 9, 9).await?,
        [],
        "it is claimed"
    );

    let second = claim_one(store, examples, 30, 1).await?;
    assert_eq!(offsets(&second), [1], "nobody said that it was pushed");
    assert!(second.number > crashed.number);
    store.settle(&crashed, pushed(examples, 31)).await?;
    let still = store.claim(examples.at(32), examples.at(62), 9, 9).await?;
    assert_eq!(still, [], "a claim that was overtaken ends nothing");

    store.settle(&second, pushed(examples, 33)).await?;
    let third = claim_one(store, examples, 33, 9).await?;
    assert_eq!(offsets(&third), [2]);
    store.settle(&third, pushed(examples, 34)).await
}

async fn failed_push_waits_and_counts(
    notifications: &dyn NotificationStore,
    store: &dyn OutboxStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    for _ in 0..3 {
        publish(notifications, &examples.draft(user)).await?;
    }
    let first = claim_one(store, examples, 0, 9).await?;
    let half = Settlement::RetryAt {
        pushed: Some(1),
        at: examples.at(5),
    };
    store.settle(&first, half).await?;
    publish(notifications, &examples.draft(user)).await?;
    assert_eq!(
        store.claim(examples.at(4), examples.at(34), 9, 9).await?,
        [],
        "it is put off"
    );

    let second = claim_one(store, examples, 5, 9).await?;
    assert_eq!((offsets(&second), second.failures), (vec![2, 3, 4], 1));
    let none = Settlement::RetryAt {
        pushed: None,
        at: examples.at(6),
    };
    store.settle(&second, none).await?;
    let third = claim_one(store, examples, 6, 9).await?;
    assert_eq!((offsets(&third), third.failures), (vec![2, 3, 4], 2));
    store.settle(&third, pushed(examples, 7)).await?;

    publish(notifications, &examples.draft(user)).await?;
    let fourth = claim_one(store, examples, 7, 9).await?;
    assert_eq!(
        (offsets(&fourth), fourth.failures),
        (vec![5], 0),
        "success ends the row"
    );
    store.settle(&fourth, pushed(examples, 7)).await
}

async fn longest_waiting_comes_first(
    notifications: &dyn NotificationStore,
    store: &dyn OutboxStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let users = [examples.user(), examples.user(), examples.user()];
    for (user, waiting_since) in users.into_iter().zip([2, 0, 1]) {
        let mut draft = examples.draft(user);
        draft.created_at = examples.at(waiting_since);
        publish(notifications, &draft).await?;
    }
    let first_two = store.claim(examples.at(3), examples.at(33), 2, 9).await?;
    assert_eq!(owners(&first_two), [users[1], users[2]]);
    let rest = store.claim(examples.at(3), examples.at(33), 2, 9).await?;
    assert_eq!(owners(&rest), [users[0]]);
    for claim in first_two.iter().chain(&rest) {
        store.settle(claim, pushed(examples, 4)).await?;
    }
    Ok(())
}

/// Claims at `seconds`, for half a minute, what must be one user's events.
async fn claim_one(
    store: &dyn OutboxStore,
    examples: &Examples<'_>,
    seconds: i64,
    events: u32,
) -> Result<OutboxClaim, PortError> {
    let claims = store
        .claim(examples.at(seconds), examples.at(seconds + 30), 9, events)
        .await?;
    match <[_; 1]>::try_from(claims) {
        Ok([claim]) => Ok(claim),
        Err(claims) => panic!("{claims:?} is not one claim"),
    }
}

fn pushed(examples: &Examples<'_>, seconds: i64) -> Settlement {
    Settlement::Pushed {
        at: examples.at(seconds),
    }
}

fn offsets(claim: &OutboxClaim) -> Vec<u64> {
    claim.events.iter().map(|event| event.offset).collect()
}

fn owners(claims: &[OutboxClaim]) -> Vec<UserId> {
    claims.iter().map(|claim| claim.user_id).collect()
}
