use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use steadfast_ws_hub::{
    History, HistoryPage, Limits, MemoryHistory, Payload, PortError, StreamPosition,
    testing::DurableHistory,
};
use tokio::sync::Semaphore;

use crate::client::{builder, payload, pipe, spawn, started, until};

fn offsets(reply: &Value) -> Vec<u64> {
    let publications = reply["publications"].as_array();
    let publications = publications.map_or(&[][..], Vec::as_slice);
    let offsets = publications.iter().map(|p| p["offset"].as_u64());
    offsets.map(Option::unwrap).collect()
}

#[tokio::test]
async fn position_is_in_the_reply_even_with_no_message() {
    let hub = started(builder().history(Arc::new(MemoryHistory::new(10)))).await;
    let mut client = pipe(&hub, 1 << 16).await;
    let hello = client.hello("alice").await;
    let own = &hello["subs"]["user:alice"];
    assert_eq!(
        (&own["recoverable"], &own["offset"]),
        (&json!(true), &json!(0))
    );
    let reply = client.subscribe("t").await;
    assert_eq!(reply["positioned"], true);
    assert_eq!(reply["offset"], 0);
    let epoch = reply["epoch"].as_str().unwrap();
    assert!(!epoch.is_empty());
    let publication = hub.publish("t", payload(1)).await.unwrap();
    assert_eq!(publication.position, Some(StreamPosition::new(1, epoch)));
}

#[tokio::test]
async fn cut_client_gets_what_it_missed_once_and_in_order() {
    let hub = started(builder().history(Arc::new(MemoryHistory::new(10)))).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    let epoch = client.subscribe("t").await["epoch"].clone();
    let epoch = epoch.as_str().unwrap();
    hub.publish("t", payload(1)).await.unwrap();
    client.publication("t").await;
    drop(client);
    for n in 2..=4 {
        hub.publish("t", payload(n)).await.unwrap();
    }

    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    let reply = client.recover("t", 1, epoch).await;
    assert_eq!(
        (&reply["recovered"], &reply["was_recovering"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (offsets(&reply), &reply["offset"]),
        (vec![2, 3, 4], &json!(4))
    );
    hub.publish("t", payload(5)).await.unwrap();
    assert_eq!(client.publication("t").await, (json!(5), Some(5)));
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn recovery_that_would_have_a_hole_says_so_and_goes_on_live() {
    let limits = Limits {
        recovery_messages: 3,
        ..Limits::default()
    };
    let history = Arc::new(DurableHistory::new());
    let hub = started(builder().history(history.clone()).limits(limits)).await;
    for n in 1..=6 {
        history.store("log:a", payload(n));
    }
    history.keep_from("log:a", 3);
    for (offset, epoch, recovered) in [
        (6, "", vec![]),
        (3, "", vec![4, 5, 6]),
        (1, "", vec![0]),
        (2, "", vec![0]),
        (5, "other", vec![0]),
        (7, "", vec![0]),
        (u64::MAX, "", vec![0]),
    ] {
        let mut client = pipe(&hub, 1 << 16).await;
        client.hello("alice").await;
        let reply = client.recover("log:a", offset, epoch).await;
        let whole = recovered != [0];
        assert_eq!(reply["recovered"].as_bool().unwrap_or(false), whole);
        assert_eq!(reply["was_recovering"], true);
        assert_eq!(offsets(&reply), if whole { recovered } else { vec![] });
        assert_eq!(reply["offset"], 6);
    }
}

#[tokio::test]
async fn server_side_subscription_recovers_in_the_connect_reply_across_hubs() {
    let history = Arc::new(DurableHistory::new());
    let topic = "user:alice";
    let first = started(builder().history(history.clone())).await;
    let mut client = pipe(&first, 1 << 16).await;
    client.hello("alice").await;
    let one = history.store(topic, payload(1));
    first.publish_at(topic, one, "").unwrap();
    assert_eq!(client.publication(topic).await.1, Some(1));
    drop((client, first));

    // Stored while no hub was there, as by another process or before a kill.
    history.store(topic, payload(2));
    let second = started(builder().history(history.clone())).await;
    let mut client = pipe(&second, 1 << 16).await;
    let subs = json!({topic: {"recover": true, "offset": 1, "epoch": ""}});
    let connect = json!({"connect": {"token": "alice", "subs": subs}});
    let reply = client.call(connect).await;
    let own = &reply["connect"]["subs"][topic];
    assert_eq!((offsets(own), &own["recovered"]), (vec![2], &json!(true)));
}

/// Holds back reads until a permit is added.
struct Slow {
    inner: DurableHistory,
    gate: Semaphore,
}

#[async_trait]
impl History for Slow {
    fn covers(&self, topic: &str) -> bool {
        self.inner.covers(topic)
    }

    async fn append(&self, topic: &str, data: &Payload) -> Result<StreamPosition, PortError> {
        self.inner.append(topic, data).await
    }

    async fn read(
        &self,
        topic: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, PortError> {
        let page = self.inner.read(topic, after, limit).await;
        if topic == "log:slow" {
            self.gate.acquire().await.unwrap().forget();
        }
        page
    }
}

#[tokio::test]
async fn publications_during_recovery_follow_the_reply_without_hole_or_duplicate() {
    let history = Arc::new(Slow {
        inner: DurableHistory::new(),
        gate: Semaphore::new(0),
    });
    let hub = started(builder().history(history.clone())).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    let topic = "log:slow";
    history.inner.store(topic, payload(1));
    let two = history.inner.store(topic, payload(2));
    let before = history.inner.reads();

    let publisher = hub.clone();
    let writer = history.clone();
    spawn(async move {
        until("history was read", || writer.inner.reads() > before).await;
        // Read already, and handed over late.
        publisher.publish_at(topic, two, "").unwrap();
        let later: Vec<_> = (3..=5)
            .map(|n| writer.inner.store(topic, payload(n)))
            .collect();
        for publication in later.into_iter().rev() {
            publisher.publish_at(topic, publication, "").unwrap();
        }
        writer.gate.add_permits(1);
    });
    let reply = client.recover(topic, 0, "").await;
    assert_eq!(
        (offsets(&reply), &reply["recovered"]),
        (vec![1, 2], &json!(true))
    );
    for n in 3..=5 {
        assert_eq!(client.publication(topic).await.1, Some(n));
    }
    assert!(client.is_quiet().await);
    assert_eq!(history.inner.reads(), before + 1, "no repair");
}

#[tokio::test]
async fn unsubscribe_by_the_server_during_recovery_comes_after_the_acknowledgement() {
    let history = Arc::new(Slow {
        inner: DurableHistory::new(),
        gate: Semaphore::new(0),
    });
    let hub = started(builder().history(history.clone())).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    let before = history.inner.reads();
    let (operator, gate) = (hub.clone(), history.clone());
    spawn(async move {
        until("history was read", || gate.inner.reads() > before).await;
        assert_eq!(operator.unsubscribe("alice", "log:slow"), 1);
        gate.gate.add_permits(1);
    });
    client.subscribe("log:slow").await;
    assert_eq!(client.unsubscribed("log:slow").await, 2000);
    assert_eq!(hub.stats().subscriptions, 1);
    assert_eq!(
        hub.publish("log:slow", payload(1)).await.unwrap().receivers,
        0
    );
}
