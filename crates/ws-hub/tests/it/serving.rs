use std::time::Duration;

use axum::{Router, extract::State, response::IntoResponse, routing::any};
use serde_json::json;
use steadfast_ws_hub::{Handshake, Hub, HubUpgrade, Identity, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{builder, connect, dial, serve, spawn, started, until};

/// The status that an upgrade is refused with.
async fn refused(address: std::net::SocketAddr, headers: &[(&'static str, &str)]) -> u16 {
    match dial(address, "/", headers).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("not refused: {:?}", other.err()),
    }
}

#[tokio::test]
async fn foreign_origin_is_refused_with_403() {
    let hub = started(builder().allowed_origins(["https://app.test"])).await;
    let address = serve(&hub).await;
    assert_eq!(
        refused(address, &[("origin", "https://evil.test")]).await,
        403
    );
    let allowed = dial(address, "/", &[("origin", "https://app.test")]).await;
    assert!(allowed.is_ok());
}

#[tokio::test]
async fn request_that_is_no_upgrade_is_answered_and_closed() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("sec-websocket-version: 13"), "{answer}");
    until("its place is free", || hub.stats().sockets == 0).await;
}

#[tokio::test]
async fn slow_handshake_is_cut() {
    let limits = Limits {
        handshake_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let address = serve(&hub).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    until("its place is free", || hub.stats().sockets == 0).await;
}

#[tokio::test]
async fn sockets_beyond_the_limit_are_not_let_in() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let address = serve(&hub).await;
    let first = connect(address, "a").await;
    let _second = connect(address, "b").await;
    assert!(dial(address, "/", &[]).await.is_err());
    drop(first);
    until("a place is free", || hub.stats().sockets == 1).await;
    connect(address, "c").await;
}

#[tokio::test]
async fn oversized_message_closes_with_1009() {
    let limits = Limits {
        message_bytes: 1_000,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let address = serve(&hub).await;
    let mut client = connect(address, "alice").await;
    client.send_text("x".repeat(100_000)).await;
    assert_eq!(client.closed().await, Some(1009));
    until("it is gone", || hub.stats().sockets == 0).await;
}

#[tokio::test]
async fn frames_against_the_protocol_close_with_their_code() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut binary = connect(address, "alice").await;
    let message = Message::binary(vec![1, 2]);
    futures_util::SinkExt::send(&mut binary.socket, message)
        .await
        .unwrap();
    assert_eq!(binary.closed().await, Some(3501));

    for (frame, code) in [
        // Text of one byte that is no UTF-8, masked with zeros.
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff][..], 1007),
        // Not masked.
        (&[0x81, 0x01, b'x'][..], 1002),
        // A frame of 2^63 bytes.
        (
            &[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            1009,
        ),
    ] {
        let mut client = connect(address, "alice").await;
        client.socket.get_mut().write_all(frame).await.unwrap();
        assert_eq!(client.closed().await, Some(code));
    }
    until("all are gone", || hub.stats().sockets == 0).await;
}

#[tokio::test]
async fn axum_handler_upgrades_and_brings_its_own_identity() {
    async fn handler(State(hub): State<Hub>, upgrade: HubUpgrade) -> impl IntoResponse {
        let who = upgrade.handshake().query("known").map(Identity::new);
        match who {
            Some(identity) => hub.upgrade(upgrade.known_as(identity)).await,
            None => hub.upgrade(upgrade).await,
        }
    }
    let hub = started(builder()).await;
    let router = Router::new()
        .route("/ws", any(handler))
        .with_state(hub.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    spawn(async move { axum::serve(listener, router).await.unwrap() });

    let mut known = dial(address, "/ws?known=carol", &[]).await.unwrap();
    let reply = known.call(json!({"connect": {}})).await;
    assert!(reply["connect"].is_object(), "{reply}");
    let mut by_token = dial(address, "/ws", &[]).await.unwrap();
    by_token.hello("alice").await;
    assert_eq!(hub.stats().users, 2);

    let stopping = hub.clone();
    spawn(async move {
        stopping.stop(Duration::from_secs(30)).await;
    });
    assert_eq!(known.closed().await, Some(3001));
    let Err(Error::Http(response)) = dial(address, "/ws", &[]).await else {
        panic!("let in");
    };
    assert_eq!(response.status(), 503);
    assert_eq!(by_token.closed().await, Some(3001));
}

#[tokio::test]
async fn places_per_address_are_bounded() {
    let limits = Limits {
        connections_per_address: 1,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let address = serve(&hub).await;
    let _first = connect(address, "a").await;
    assert!(dial(address, "/", &[]).await.is_err());
}

#[tokio::test]
async fn future_of_a_connection_is_small() {
    let hub = builder().build().unwrap();
    let (stream, _) = tokio::io::duplex(64);
    let attending = hub.serve_stream(stream, Handshake::default());
    let bytes = size_of_val(&attending);
    assert!(bytes < 3 * 1024, "{bytes} bytes");
}
