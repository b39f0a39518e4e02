use std::sync::Arc;

use serde_json::json;
use steadfast_ws_hub::{
    Limits, MemoryHistory, Payload, Publication, PublishError, testing::DurableHistory,
};

use crate::client::{builder, connect, payload, pipe, serve, started};

#[tokio::test]
async fn client_publishes_to_every_subscriber() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut alice = connect(address, "alice").await;
    let mut bob = connect(address, "bob").await;
    bob.subscribe("room").await;
    alice.subscribe("room").await;
    let publish = json!({"publish": {"channel": "room", "data": {"text": "hi\n"}}});
    let reply = alice.call(publish).await;
    assert_eq!(reply["publish"], json!({}));
    assert_eq!(bob.publication("room").await.0, json!({"text": "hi\n"}));
    assert_eq!(alice.publication("room").await.0, json!({"text": "hi\n"}));
}

#[tokio::test]
async fn line_break_inside_a_payload_does_not_tear_the_frame() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("t").await;
    let data = Payload::from_json("{\n\"a\":\r\n[1,\n2]}").unwrap();
    hub.publish("t", data).await.unwrap();
    hub.publish("t", payload(2)).await.unwrap();
    assert_eq!(client.publication("t").await.0, json!({"a": [1, 2]}));
    assert_eq!(client.publication("t").await.0, json!(2));
}

#[tokio::test]
async fn unfit_publications_are_refused_by_name() {
    let limits = Limits {
        message_bytes: 10,
        topic_bytes: 5,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let error = hub.publish("", payload(1)).await.unwrap_err();
    assert!(matches!(error, PublishError::TopicName { len: 0, max: 5 }));
    let error = hub.publish("123456", payload(1)).await.unwrap_err();
    assert!(matches!(error, PublishError::TopicName { len: 6, .. }));
    let error = hub.publish("t", payload("x".repeat(9))).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { len: 11, max: 10 }));
    let error = hub.publish_at("t", Publication::new(1, payload(1)), "e");
    assert!(matches!(error, Err(PublishError::NoHistory { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_publishers_reach_all_subscribers_in_one_order() {
    let hub = started(builder().history(Arc::new(MemoryHistory::new(1000)))).await;
    let address = serve(&hub).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = connect(address, "alice").await;
        client.subscribe("t").await;
        clients.push(client);
    }
    let publishers = (0..4).map(|publisher| {
        let hub = hub.clone();
        async move {
            for n in 0..50 {
                let data = payload(json!([publisher, n]));
                hub.publish("t", data).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(publishers).await;
    let mut first = Vec::new();
    for (turn, client) in clients.iter_mut().enumerate() {
        let mut got = Vec::new();
        for offset in 1..=200 {
            let (data, at) = client.publication("t").await;
            assert_eq!(at, Some(offset));
            got.push(data);
        }
        if turn == 0 {
            first = got;
        } else {
            assert_eq!(got, first);
        }
    }
}

#[tokio::test]
async fn duplicate_offset_is_dropped() {
    let history = Arc::new(DurableHistory::new());
    let hub = started(builder().history(history.clone())).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    let stored = history.store("user:alice", payload("one"));
    for expected in [1, 0, 0] {
        let published = hub.publish_at("user:alice", stored.clone(), "").unwrap();
        assert_eq!(published.receivers, expected);
    }
    let publication = client.publication("user:alice").await;
    assert_eq!(publication, (json!("one"), Some(1)));
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn gap_is_filled_from_history_before_the_publication() {
    let history = Arc::new(DurableHistory::new());
    let hub = started(builder().history(history.clone())).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    let topic = "user:alice";
    let all: Vec<_> = (1..=5).map(|n| history.store(topic, payload(n))).collect();
    // The hand-over of 1 to 3 is late, and 5 comes before 4.
    for offset in [5, 4, 3, 1, 2] {
        let publication = all[offset - 1].clone();
        hub.publish_at(topic, publication, "").unwrap();
    }
    for n in 1..=5 {
        assert_eq!(client.publication(topic).await, (json!(n), Some(n)));
    }
    assert!(client.is_quiet().await);
    assert!(hub.stats().repaired >= 1);
    // Live again.
    let six = history.store(topic, payload(6));
    assert_eq!(hub.publish_at(topic, six, "").unwrap().receivers, 1);
    assert_eq!(client.publication(topic).await.1, Some(6));
}

#[tokio::test]
async fn one_history_read_repairs_every_subscriber() {
    let history = Arc::new(DurableHistory::new());
    let hub = started(builder().history(history.clone())).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = pipe(&hub, 1 << 16).await;
        client.hello("alice").await;
        client.subscribe("log:a").await;
        clients.push(client);
    }
    let before = history.reads();
    history.store("log:a", payload(1));
    let two = history.store("log:a", payload(2));
    hub.publish_at("log:a", two, "").unwrap();
    for client in &mut clients {
        assert_eq!(client.publication("log:a").await.1, Some(1));
        assert_eq!(client.publication("log:a").await.1, Some(2));
    }
    assert_eq!(history.reads() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn gap_that_history_cannot_fill_ends_the_subscription_for_recovery() {
    let history = Arc::new(DurableHistory::new());
    let hub = started(builder().history(history.clone())).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    for (name, spoil) in [
        ("log:failing", 0),
        ("log:trimmed", 1),
        ("log:other-epoch", 2),
        ("log:never-stored", 3),
    ] {
        client.subscribe(name).await;
        let _ = history.store(name, payload(1));
        let mut two = history.store(name, payload(2));
        match spoil {
            0 => history.set_failing(true),
            1 => history.keep_from(name, 2),
            2 => history.set_epoch("new"),
            _ => two.offset = 9,
        }
        let epoch = if spoil == 3 { "new" } else { "" };
        hub.publish_at(name, two, epoch).unwrap();
        // What came before a gap without end may arrive.
        let code = loop {
            let line = client.next_line().await;
            if let Some(code) = line["push"]["unsubscribe"]["code"].as_u64() {
                break code;
            }
            assert_eq!(spoil, 3, "{line}");
        };
        assert_eq!(code, 2500, "{name}");
        history.set_failing(false);
    }
    assert_eq!(hub.stats().subscriptions, 1);
}

#[tokio::test(start_paused = true)]
async fn gap_of_a_server_side_subscription_disconnects_for_recovery() {
    let history = Arc::new(DurableHistory::new());
    let hub = started(builder().history(history.clone())).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    history.store("user:alice", payload(1));
    let two = history.store("user:alice", payload(2));
    history.set_failing(true);
    hub.publish_at("user:alice", two, "").unwrap();
    assert_eq!(client.closed().await, Some(3010));
}
