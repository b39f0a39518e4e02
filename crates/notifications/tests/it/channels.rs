use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use steadfast_notifications::{
    ChannelError, ChannelPatch, Channels, DELIVERIES_PER_HOUR, DeliveryId, DeliveryLimits,
    IdSource as _, MAX_CHANNELS, MessageContent, NewChannel, PageRequest, SendError,
    test_util::{FakeSecrets, RecordingSender},
};

use crate::{World, pointers};

fn channels(world: &World) -> (Channels, Arc<RecordingSender>) {
    let sender = Arc::new(RecordingSender::new());
    let channels = Channels::new(
        world.store.clone(),
        world.store.clone(),
        sender.clone(),
        world.ids.clone(),
        Arc::new(FakeSecrets::new()),
        Arc::new(DeliveryLimits::with_clock(world.clock.clone()).unwrap()),
    );
    (channels.with_clock(world.clock.clone()), sender)
}

fn new(json: Value) -> NewChannel {
    serde_json::from_value(json).unwrap()
}

fn webhook() -> NewChannel {
    new(json!({"kind": "webhook", "name": "Hook", "url": "https://a.example/"}))
}

#[tokio::test]
async fn secret_is_shown_when_it_is_made() {
    let world = World::new();
    let (channels, _) = channels(&world);
    let created = channels.create(world.user, webhook()).await.unwrap();
    let id = created.channel.id;
    let secret = |stored: &steadfast_notifications::StoredChannel| {
        stored.secret.as_ref().map(|it| it.expose().to_owned())
    };
    assert_eq!(secret(&created).as_deref(), Some("secret-1"));
    let seen = serde_json::to_string(&channels.get(world.user, id).await.unwrap()).unwrap();
    assert!(!seen.contains("secret"), "{seen}");
    let rotated = channels
        .rotate_secret(world.user, id, Some(1))
        .await
        .unwrap();
    assert_eq!(secret(&rotated).as_deref(), Some("secret-2"));
    assert_eq!(rotated.channel.version, 2);

    let email = json!({"kind": "email", "name": "Post", "address": "a@example.org"});
    let created = channels.create(world.user, new(email)).await.unwrap();
    assert_eq!(created.secret, None);
    let id = created.channel.id;
    let outcome = channels.rotate_secret(world.user, id, None).await;
    assert!(matches!(outcome, Err(ChannelError::NoSecret { .. })));
}

#[tokio::test]
async fn every_field_at_fault_is_named() {
    let world = World::new();
    let (channels, _) = channels(&world);
    let long = format!("https://{}", "x".repeat(2_000));
    for (body, at) in [
        (json!({"kind": "ws", "name": "x"}), vec!["/kind"]),
        (json!({"kind": "webhook", "name": "x"}), vec!["/url"]),
        (json!({"kind": "email", "name": "x"}), vec!["/address"]),
        (
            json!({"kind": "email", "name": "", "url": "https://a"}),
            vec!["/name", "/url", "/address"],
        ),
        (
            json!({"kind": "webhook", "name": "a\nb", "url": "ftp://a\n"}),
            vec!["/name", "/url", "/url"],
        ),
        (
            json!({"kind": "webhook", "name": "x", "url": long}),
            vec!["/url"],
        ),
    ] {
        let outcome = channels.create(world.user, new(body.clone())).await;
        let Err(ChannelError::Validate(invalid)) = outcome else {
            panic!("{body}: {outcome:?}");
        };
        assert_eq!(pointers(&invalid), at, "{body}");
    }
    let page = PageRequest::default();
    let stored = channels.list(world.user, &page).await.unwrap();
    assert_eq!(stored.items, []);
}

#[tokio::test]
async fn changes_are_versioned_and_keep_what_is_not_named() {
    let world = World::new();
    let (channels, _) = channels(&world);
    let created = channels
        .create(world.user, webhook())
        .await
        .unwrap()
        .channel;
    let patch = ChannelPatch {
        enabled: Some(false),
        ..ChannelPatch::default()
    };
    let id = created.id;
    let changed = channels
        .update(world.user, id, &patch, Some(1))
        .await
        .unwrap();
    assert_eq!((changed.version, changed.enabled), (2, false));
    assert_eq!(
        (&changed.name, &changed.target),
        (&created.name, &created.target)
    );
    for outcome in [
        channels.update(world.user, id, &patch, Some(1)).await.err(),
        channels.delete(world.user, id, Some(1)).await.err(),
        channels.rotate_secret(world.user, id, Some(1)).await.err(),
    ] {
        let stale = outcome.unwrap();
        assert_eq!(stale.to_string(), "version 1 was expected, but 2 is stored");
    }
    let patch = ChannelPatch {
        address: Some("a@example.org".into()),
        ..ChannelPatch::default()
    };
    let outcome = channels.update(world.user, id, &patch, None).await;
    let Err(ChannelError::Validate(invalid)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(pointers(&invalid), ["/address"]);
}

#[tokio::test]
async fn channel_of_another_user_is_not_found() {
    let world = World::new();
    let (channels, sender) = channels(&world);
    let id = channels
        .create(world.user, webhook())
        .await
        .unwrap()
        .channel
        .id;
    let (other, patch) = (world.other, ChannelPatch::default());
    for outcome in [
        channels.get(other, id).await.err(),
        channels.update(other, id, &patch, None).await.err(),
        channels.delete(other, id, None).await.err(),
        channels.rotate_secret(other, id, None).await.err(),
        channels.test(other, id).await.err(),
    ] {
        assert!(
            matches!(outcome, Some(ChannelError::Find { .. })),
            "{outcome:?}"
        );
    }
    let unknown = DeliveryId::new(world.ids.next_id());
    let outcome = channels.retry(Some(world.user), unknown).await;
    assert!(matches!(outcome, Err(ChannelError::FindDelivery { .. })));
    assert_eq!(sender.attempts(), []);
}

#[tokio::test]
async fn user_has_a_bounded_number_of_channels() {
    let world = World::new();
    let (channels, _) = channels(&world);
    for _ in 0..MAX_CHANNELS {
        channels.create(world.user, webhook()).await.unwrap();
    }
    let outcome = channels.create(world.user, webhook()).await;
    assert!(matches!(
        outcome,
        Err(ChannelError::LimitReached { limit: 10 })
    ));
    channels.create(world.other, webhook()).await.unwrap();
}

#[tokio::test]
async fn test_message_is_sent_at_once() {
    let world = World::new();
    let (channels, sender) = channels(&world);
    let id = channels
        .create(world.user, webhook())
        .await
        .unwrap()
        .channel
        .id;
    channels.test(world.user, id).await.unwrap().unwrap();
    let sent = sender.sent();
    assert_eq!((sent.len(), sent[0].0), (1, id));
    assert_eq!(sent[0].1.content, MessageContent::Test);

    // They count among what the user may get.
    for _ in 1..DELIVERIES_PER_HOUR {
        channels.test(world.user, id).await.unwrap().unwrap();
    }
    let one_more = channels.test(world.user, id).await.unwrap();
    let Err(SendError::Busy { retry_after, .. }) = one_more else {
        panic!("{one_more:?}");
    };
    assert!(retry_after.unwrap() > Duration::ZERO);
    assert_eq!(sender.sent().len(), DELIVERIES_PER_HOUR as usize);
}
