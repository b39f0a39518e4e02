use serde_json::json;
use steadfast_ws_hub::Limits;

use crate::client::{builder, connect, payload, pipe, serve, started};

#[tokio::test]
async fn publications_after_the_acknowledgement_arrive_in_order() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("t").await;
    for n in 0..500 {
        assert_eq!(hub.publish("t", payload(n)).await.unwrap().receivers, 1);
    }
    for n in 0..500 {
        assert_eq!(client.publication("t").await, (json!(n), None));
    }
}

#[tokio::test]
async fn nothing_arrives_after_unsubscribe_is_acknowledged() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("t").await;
    let reply = client.call(json!({"unsubscribe": {"channel": "t"}})).await;
    assert_eq!(reply["unsubscribe"], json!({}));
    assert_eq!(hub.publish("t", payload(1)).await.unwrap().receivers, 0);
    assert!(client.is_quiet().await);
    assert_eq!(hub.stats().topics, 1, "the user's own topic is left");

    let again = client.call(json!({"unsubscribe": {"channel": "t"}})).await;
    assert_eq!(again["unsubscribe"], json!({}), "twice is no error");
    client.subscribe("t").await;
}

#[tokio::test]
async fn refusals_have_the_numbers_of_the_protocol() {
    let limits = Limits {
        subscriptions_per_connection: 2,
        topic_bytes: 10,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("a").await;
    for (command, code) in [
        (json!({"subscribe": {"channel": "a"}}), 105),
        (json!({"subscribe": {"channel": "b"}}), 106),
        (json!({"subscribe": {"channel": ""}}), 107),
        (json!({"subscribe": {"channel": "x".repeat(11)}}), 102),
        (json!({"subscribe": {"channel": "private:a"}}), 103),
        (json!({"publish": {"channel": "private:a", "data": 1}}), 103),
        (json!({"publish": {"channel": "a"}}), 107),
        (json!({"presence": {"channel": "a"}}), 108),
        (json!({"presence_stats": {"channel": "a"}}), 108),
        (json!({"history": {"channel": "a"}}), 108),
        (json!({"refresh": {"token": "a"}}), 108),
        (json!({"sub_refresh": {"channel": "a"}}), 108),
        (json!({"rpc": {"method": "a"}}), 108),
        (json!({"something": {}}), 104),
    ] {
        assert_eq!(client.refused(command.clone()).await, code, "{command}");
    }
    assert_eq!(hub.stats().subscriptions, 2);
    // One-way messages and pongs are not answered.
    client.send_text("{\"send\":{\"data\":1}}\n{}").await;
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn server_ends_a_subscription_and_the_client_is_told() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("t").await;
    assert_eq!(hub.unsubscribe("alice", "t"), 1);
    assert_eq!(hub.unsubscribe("alice", "t"), 0);
    assert_eq!(client.unsubscribed("t").await, 2000);
    assert_eq!(hub.publish("t", payload(1)).await.unwrap().receivers, 0);
    client.subscribe("t").await;
    let id = hub.clients(None, 1).clients[0].id;
    assert_eq!(hub.unsubscribe(id, "t"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_that_empties_and_fills_at_once_loses_no_subscriber() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let (mut left, mut right) = (connect(address, "l").await, connect(address, "r").await);
    for round in 0..50 {
        left.subscribe("t").await;
        let leave = left.call(json!({"unsubscribe": {"channel": "t"}}));
        let (_, _) = tokio::join!(leave, right.subscribe("t"));
        let published = hub.publish("t", payload(round)).await.unwrap();
        assert_eq!(published.receivers, 1);
        assert_eq!(right.publication("t").await.0, round);
        right.call(json!({"unsubscribe": {"channel": "t"}})).await;
    }
    assert_eq!(hub.stats().topics, 2);
}
