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
    claim_that_was_cut_short_goes_on_at_once(notifications, store, &examples).await?;
    release_makes_claims_void_and_their_events_pending(notifications, store, &examples).await?;
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
    store.settle(&first, pushed(&first, examples, 1)).await?;
    let second = claim_one(store, examples, 1, 9).await?;
    assert_eq!(offsets(&second), [3, 4]);
    publish(notifications, &examples.draft(user)).await?;
    store.settle(&second, pushed(&second, examples, 2)).await?;
    let third = claim_one(store, examples, 2, 9).await?;
    assert_eq!(offsets(&third), [5]);
    store.settle(&third, pushed(&third, examples, 3)).await?;
    assert_eq!(
        store.claim(examples.at(3), examples.at(33), 9, 9).await?,
        []
    );

    publish(notifications, &examples.draft(user)).await?;
    let fourth = claim_one(store, examples, 4, 9).await?;
    assert_eq!(offsets(&fourth), [6]);
    store.settle(&fourth, pushed(&fourth, examples, 4)).await
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
    store
        .settle(&crashed, pushed(&crashed, examples, 31))
        .await?;
    let still = store.claim(examples.at(32), examples.at(62), 9, 9).await?;
    assert_eq!(still, [], "a claim that was overtaken ends nothing");

    store.settle(&second, pushed(&second, examples, 33)).await?;
    let third = claim_one(store, examples, 33, 9).await?;
    assert_eq!(offsets(&third), [2]);
    store.settle(&third, pushed(&third, examples, 34)).await
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
    store.settle(&third, pushed(&third, examples, 7)).await?;

    publish(notifications, &examples.draft(user)).await?;
    let fourth = claim_one(store, examples, 7, 9).await?;
    assert_eq!(
        (offsets(&fourth), fourth.failures),
        (vec![5], 0),
        "success ends the row"
    );
    store.settle(&fourth, pushed(&fourth, examples, 7)).await
}

async fn claim_that_was_cut_short_goes_on_at_once(
    notifications: &dyn NotificationStore,
    store: &dyn OutboxStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    let user = examples.user();
    for _ in 0..3 {
        publish(notifications, &examples.draft(user)).await?;
    }
    for (seconds, pushed, left) in [(0, None, vec![1, 2, 3]), (1, Some(2), vec![3])] {
        let cut = claim_one(store, examples, seconds, 9).await?;
        let at = examples.at(seconds + 1);
        store
            .settle(&cut, Settlement::Pushed { pushed, at })
            .await?;
        let rest = claim_one(store, examples, seconds + 1, 9).await?;
        assert_eq!((offsets(&rest), rest.failures), (left, 0));
        let none = Settlement::Pushed { pushed: None, at };
        store.settle(&rest, none).await?;
    }
    let last = claim_one(store, examples, 3, 9).await?;
    store.settle(&last, pushed(&last, examples, 3)).await
}

async fn release_makes_claims_void_and_their_events_pending(
    notifications: &dyn NotificationStore,
    store: &dyn OutboxStore,
    examples: &Examples<'_>,
) -> Result<(), PortError> {
    publish(notifications, &examples.draft(examples.user())).await?;
    let died = claim_one(store, examples, 0, 9).await?;
    assert_eq!(store.release(examples.at(1)).await?, 1);
    assert_eq!(store.release(examples.at(1)).await?, 0, "it waits already");
    store.settle(&died, pushed(&died, examples, 1)).await?;
    let next = claim_one(store, examples, 1, 9).await?;
    assert_eq!((next.user_id, offsets(&next)), (died.user_id, vec![1]));
    store.settle(&next, pushed(&next, examples, 2)).await?;
    assert_eq!(store.release(examples.at(3)).await?, 0, "nothing is left");
    Ok(())
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
        store.settle(claim, pushed(claim, examples, 4)).await?;
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

fn pushed(claim: &OutboxClaim, examples: &Examples<'_>, seconds: i64) -> Settlement {
    Settlement::Pushed {
        pushed: claim.events.last().map(|event| event.offset),
        at: examples.at(seconds),
    }
}

fn offsets(claim: &OutboxClaim) -> Vec<u64> {
    claim.events.iter().map(|event| event.offset).collect()
}

fn owners(claims: &[OutboxClaim]) -> Vec<UserId> {
    claims.iter().map(|claim| claim.user_id).collect()
}
