//! One test for each defect of the original that concerns a hub, named by its row.

use std::time::Duration;

use serde_json::json;
use steadfast_ws_hub::Limits;
use tokio_tungstenite::tungstenite::Error;

use crate::client::{builder, connect, dial, payload, pipe, serve, spawn, started, until};

#[tokio::test]
async fn row_03_nothing_unauthenticated_reaches_the_registry() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    // Before the upgrade.
    let Err(Error::Http(response)) = dial(address, "/?user=not+me", &[]).await else {
        panic!("let in");
    };
    assert_eq!(response.status(), 401);
    // On the connect command: rejected, and without any credentials.
    for connect in [json!({"token": "not me"}), json!({})] {
        let mut client = dial(address, "/", &[]).await.unwrap();
        let command = json!({"id": 1, "connect": connect});
        client.send_text(command.to_string()).await;
        assert_eq!(client.closed().await, Some(3500));
    }
    assert_eq!((hub.stats().connections, hub.stats().opened), (0, 0));
}

#[tokio::test]
async fn row_09_closing_one_tab_leaves_the_users_other_tabs_subscribed() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        let mut tab = connect(address, "alice").await;
        tab.subscribe("news").await;
        tabs.push(tab);
    }
    let published = hub.publish("user:alice", payload(1)).await.unwrap();
    assert_eq!(published.receivers, 3, "every tab");
    drop(tabs.pop());
    until("one tab is gone", || hub.stats().connections == 2).await;
    hub.publish("news", payload(2)).await.unwrap();
    for tab in &mut tabs {
        assert_eq!(tab.publication("user:alice").await.0, 1);
        assert_eq!(tab.publication("news").await.0, 2);
    }
}

#[tokio::test]
async fn row_10_shutdown_releases_everything_and_the_hub_starts_again() {
    let hub = started(builder()).await;
    for _ in 0..3 {
        let address = serve(&hub).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            let mut client = connect(address, "alice").await;
            client.subscribe("t").await;
            clients.push(client);
        }
        assert_eq!(hub.stats().connections, 5);
        spawn(async move {
            for client in &mut clients {
                assert_eq!(client.closed().await, Some(3001));
            }
        });
        let report = hub.stop(Duration::from_secs(30)).await;
        assert_eq!((report.graceful, report.forced), (5, 0));
        let stats = hub.stats();
        assert_eq!((stats.sockets, stats.connections), (0, 0));
        assert_eq!((stats.topics, stats.subscriptions), (0, 0));
        hub.start().await;
    }
}

#[tokio::test(start_paused = true)]
async fn row_11_full_queue_drops_no_disconnect() {
    let limits = Limits {
        queue_messages: 1,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let mut client = pipe(&hub, 512).await;
        client.hello("alice").await;
        client.subscribe("t").await;
        stalled.push(client);
    }
    // Each queue overflows while each client leaves.
    for n in 0..20 {
        hub.publish("t", payload(n)).await.unwrap();
    }
    stalled.clear();
    until("all are gone", || hub.stats().sockets == 0).await;
    let stats = hub.stats();
    assert_eq!((stats.connections, stats.users), (0, 0));
    assert_eq!((stats.topics, stats.subscriptions), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_19_burst_never_passes_the_limit_of_a_user() {
    let limits = Limits {
        connections_per_user: 3,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let address = serve(&hub).await;
    let burst = (0..40).map(|_| async move {
        let mut client = dial(address, "/", &[]).await.unwrap();
        client
            .send_text(r#"{"id":1,"connect":{"token":"alice"}}"#)
            .await;
        match client.receive().await {
            Ok(()) => Ok(client),
            Err(closed) => Err(closed),
        }
    });
    let outcomes = futures_util::future::join_all(burst).await;
    let (inside, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((inside.len(), hub.stats().connections), (3, 3));
    for outcome in refused {
        assert_eq!(outcome.err(), Some(Some(3504)));
    }
    assert_eq!(hub.stats().opened, 3);
    // A place that is given back can be taken.
    drop(inside);
    until("they are gone", || hub.stats().connections == 0).await;
    connect(address, "alice").await;
}
