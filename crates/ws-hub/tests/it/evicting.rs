use std::time::Duration;

use serde_json::json;
use steadfast_ws_hub::Limits;
use tokio::time::sleep;

use crate::client::{builder, now, payload, pipe, since, spawn, started, until};

#[tokio::test(start_paused = true)]
async fn silent_client_is_evicted_with_3012_after_the_deadline() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let start = now();
    assert_eq!(client.closed().await, Some(3012));
    let waited = since(start).as_secs_f64();
    // 25 s varied by a tenth, 10 s to answer, and a tick of a second on each.
    assert!((32.5..=40.0).contains(&waited), "{waited}");
    until("evicted", || hub.stats().evicted_silent == 1).await;
    assert_eq!(hub.stats().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn client_that_answers_pings_stays() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    let mut last = now();
    for turn in 0..20 {
        client.receive().await.unwrap();
        assert_eq!(client.lines().back(), Some(&json!({})));
        let gap = since(last).as_secs_f64();
        assert!((22.0..=30.0).contains(&gap), "ping {turn} after {gap}");
        last = now();
        client.send_text("{}").await;
    }
    assert_eq!(hub.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn any_frame_proves_life() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    for _ in 0..20 {
        sleep(Duration::from_secs(9)).await;
        // A native ping; the protocol's are never answered.
        let ping = tokio_tungstenite::tungstenite::Message::Ping("x".into());
        futures_util::SinkExt::send(&mut client.socket, ping)
            .await
            .unwrap();
    }
    assert_eq!(hub.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn slow_client_is_evicted_and_the_others_receive_everything() {
    let hub = started(builder()).await;
    let mut stalled = pipe(&hub, 1024).await;
    stalled.hello("stalled").await;
    stalled.subscribe("t").await;
    let mut reader = pipe(&hub, 1 << 20).await;
    reader.hello("reader").await;
    reader.subscribe("t").await;

    let publisher = hub.clone();
    spawn(async move {
        for n in 0..5_000 {
            publisher.publish("t", payload(n)).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    for n in 0..5_000 {
        assert_eq!(reader.publication("t").await.0, json!(n));
    }
    until("evicted", || hub.stats().evicted_slow == 1).await;
    assert_eq!((hub.stats().connections, hub.stats().subscriptions), (1, 2));
    until("its socket is gone", || hub.stats().sockets == 1).await;
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn slow_client_is_evicted_by_bytes_too() {
    let limits = Limits {
        queue_bytes: 10_000,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let mut stalled = pipe(&hub, 1024).await;
    stalled.hello("stalled").await;
    stalled.subscribe("t").await;
    let mut sent = 0;
    while hub.stats().connections == 1 {
        hub.publish("t", payload("x".repeat(1_000))).await.unwrap();
        tokio::task::yield_now().await;
        sent += 1;
        assert!(sent < 100, "never evicted");
    }
    until("evicted", || hub.stats().evicted_slow == 1).await;
}

#[tokio::test(start_paused = true)]
async fn stalled_socket_is_given_up_after_the_write_timeout() {
    let hub = started(builder()).await;
    let mut stalled = pipe(&hub, 1024).await;
    stalled.hello("stalled").await;
    stalled.subscribe("t").await;
    let start = now();
    // Far from filling the queue, but more than the pipe takes.
    hub.publish("t", payload("x".repeat(4_000))).await.unwrap();
    until("given up", || hub.stats().connections == 0).await;
    let waited = since(start).as_secs_f64();
    assert!((10.0..=10.1).contains(&waited), "{waited}");
    assert_eq!(hub.stats().evicted_slow, 1);
    until("its socket is gone", || hub.stats().sockets == 0).await;
}

#[tokio::test]
async fn commands_beyond_the_rate_are_refused_and_answered() {
    let limits = Limits {
        commands_per_second: 1,
        command_burst: 3,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("a").await;
    client.subscribe("b").await;
    let code = client.refused(json!({"subscribe": {"channel": "c"}})).await;
    assert_eq!((code, hub.stats().subscriptions), (111, 3));
}

#[tokio::test]
async fn thousands_of_commands_in_one_frame_are_all_answered() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    let count = 3_000;
    let commands: Vec<_> = (1..=count)
        .map(|id| format!("{{\"id\":{},\"ping\":{{}}}}", id + 10))
        .collect();
    client.send_text(commands.join("\n")).await;
    for id in 1..=count {
        assert_eq!(client.next_line().await["id"], id + 10);
    }
    assert_eq!(hub.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn trickle_of_messages_does_not_put_off_the_write_timeout() {
    let hub = started(builder()).await;
    let mut stalled = pipe(&hub, 1024).await;
    stalled.hello("stalled").await;
    stalled.subscribe("t").await;
    hub.publish("t", payload("x".repeat(2_000))).await.unwrap();
    let start = now();
    while hub.stats().connections == 1 {
        hub.publish("t", payload(1)).await.unwrap();
        sleep(Duration::from_millis(500)).await;
        assert!(since(start) < Duration::from_secs(20), "never given up");
    }
    assert_eq!(hub.stats().evicted_slow, 1);
}

#[tokio::test]
async fn message_larger_than_the_queue_is_delivered() {
    let limits = Limits {
        message_bytes: 1 << 20,
        queue_bytes: 10_000,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let mut client = pipe(&hub, 1 << 16).await;
    client.hello("alice").await;
    client.subscribe("t").await;
    let large = "x".repeat(500_000);
    hub.publish("t", payload(&large)).await.unwrap();
    assert_eq!(client.publication("t").await.0, json!(large));
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_slowly_but_reads_is_not_stalled() {
    use tokio::io::AsyncReadExt;

    let hub = started(builder()).await;
    let mut slow = pipe(&hub, 1024).await;
    slow.hello("slow").await;
    slow.subscribe("t").await;
    hub.publish("t", payload("x".repeat(60_000))).await.unwrap();
    let (mut left, mut buffer) = (60_000_usize, [0; 1024]);
    while left > 0 {
        sleep(Duration::from_millis(250)).await;
        let read = slow.socket.get_mut().read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "cut with {left} bytes left");
        left = left.saturating_sub(read);
    }
    assert_eq!(hub.stats().connections, 1);
}
