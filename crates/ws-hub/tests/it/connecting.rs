use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde_json::json;
use steadfast_clock::{Clock, ManualClock};
use steadfast_ws_hub::{
    AuthenticateError, Authenticator, Handshake, Hub, Identity, Limits, testing::OpenAuthorizer,
};

use crate::client::{
    builder, connect, dial, now, payload, pipe, pipe_with, serve, since, started, until,
};

#[tokio::test]
async fn token_of_the_connect_command_names_the_user() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut client = dial(address, "/ws", &[]).await.unwrap();
    let reply = client.hello("alice").await;
    assert_eq!((&reply["ping"], &reply["pong"]), (&json!(25), &json!(true)));
    assert_eq!(reply["subs"], json!({"user:alice": {}}));

    let page = hub.clients(None, 10);
    assert_eq!((page.clients.len(), page.next), (1, None));
    assert_eq!(&*page.clients[0].user, "alice");
    let local = client.socket.get_ref().local_addr().unwrap();
    assert_eq!(page.clients[0].remote, Some(local));
    let id = page.clients[0].id.to_string();
    assert!(reply["client"].as_str().unwrap().ends_with(&id));
}

#[tokio::test]
async fn identity_of_the_handshake_needs_no_token() {
    let hub = started(builder()).await;
    let address = serve(&hub).await;
    let mut client = dial(address, "/ws?user=alice", &[]).await.unwrap();
    let reply = client.call(json!({"connect": {}})).await;
    assert_eq!(reply["connect"]["subs"], json!({"user:alice": {}}));
}

#[tokio::test]
async fn expired_token_is_answered_109_and_nobody_is_registered() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    let code = client
        .refused(json!({"connect": {"token": "expired"}}))
        .await;
    assert_eq!((code, hub.stats().connections), (109, 0));
    client.hello("alice").await;
    assert_eq!(hub.stats().connections, 1);
}

#[tokio::test]
async fn first_command_other_than_connect_closes_with_3501() {
    let hub = started(builder()).await;
    for first in [
        r#"{"id":1,"subscribe":{"channel":"t"}}"#,
        r#"{"id":1,"ping":{}}"#,
        r#"{"connect":{"token":"alice"}}"#,
        "{}",
        "not json",
        "[]",
    ] {
        let mut client = pipe(&hub, 4096).await;
        client.send_text(first).await;
        assert_eq!(client.closed().await, Some(3501), "{first}");
    }
    assert_eq!((hub.stats().connections, hub.stats().opened), (0, 0));
}

#[tokio::test]
async fn second_connect_closes_with_3501() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client.hello("alice").await;
    client
        .send_text(r#"{"id":9,"connect":{"token":"bob"}}"#)
        .await;
    assert_eq!(client.closed().await, Some(3501));
    until("nobody is registered", || hub.stats().connections == 0).await;
}

#[tokio::test(start_paused = true)]
async fn client_that_never_connects_is_closed_as_stale() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    let start = now();
    assert_eq!(client.closed().await, Some(3502));
    let waited = since(start);
    assert!(waited >= Duration::from_secs(10), "{waited:?}");
    assert!(waited < Duration::from_secs(11), "{waited:?}");
}

#[tokio::test]
async fn several_commands_in_one_frame_are_answered_in_order() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client
        .send_text(
            "{\"id\":1,\"connect\":{\"token\":\"alice\"}}\n\
             {\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n\n\
             {\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n",
        )
        .await;
    for id in 1..=3 {
        assert_eq!(client.next_line().await["id"], id);
    }
    assert_eq!(hub.stats().subscriptions, 3);
}

struct Expiring(SystemTime);

#[async_trait]
impl Authenticator for Expiring {
    async fn handshake(&self, _: &Handshake) -> Result<Option<Identity>, AuthenticateError> {
        Ok(None)
    }

    async fn token(&self, _: &Handshake, user: &str) -> Result<Identity, AuthenticateError> {
        let info = payload(json!({"hello": user}));
        Ok(Identity::new(user).expires_at(self.0).with_info(info))
    }
}

#[tokio::test(start_paused = true)]
async fn connection_ends_with_3005_when_its_identity_expires() {
    let clock = Arc::new(ManualClock::ticking(SystemTime::UNIX_EPOCH));
    // While the answer to the first ping is awaited.
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(30);
    let hub = Hub::builder()
        .authenticator(Arc::new(Expiring(expires)))
        .authorizer(Arc::new(OpenAuthorizer))
        .clock(clock.clone());
    let hub = started(hub).await;
    let mut client = pipe(&hub, 4096).await;
    let reply = client.hello("alice").await;
    assert_eq!(reply["data"], json!({"hello": "alice"}));
    assert_eq!(reply["expires"], json!(null), "refresh is not served");
    let closed = loop {
        // Answers the pings before.
        if let Err(closed) = client.receive().await {
            break closed;
        }
        client.send_text("{}").await;
    };
    assert_eq!(closed, Some(3005));
    let late = clock.wall().duration_since(expires).unwrap();
    assert!(late <= Duration::from_secs(2), "{late:?}");

    // A token that outlived its identity: the client fetches a new one.
    let mut client = pipe(&hub, 4096).await;
    let connect = json!({"connect": {"token": "alice"}});
    assert_eq!(client.refused(connect).await, 109);
    // One that came with the handshake: the client makes another handshake.
    let over = Identity::new("alice").expires_at(expires);
    let handshake = Handshake::default().known_as(over);
    let mut client = pipe_with(&hub, 4096, handshake).await;
    client.send_text(r#"{"id":1,"connect":{}}"#).await;
    assert_eq!(client.closed().await, Some(3005));
}

#[tokio::test]
async fn clients_are_paged_without_overlap() {
    let limits = Limits {
        connections_per_user: 100,
        ..Limits::default()
    };
    let hub = started(builder().limits(limits)).await;
    let mut clients = Vec::new();
    for n in 0..40 {
        let mut client = pipe(&hub, 4096).await;
        client.hello(&format!("user-{}", n % 3)).await;
        clients.push(client);
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = hub.clients(after, 7);
        seen.extend(page.clients.into_iter().map(|client| client.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 40);
    assert!(seen.is_sorted_by(|a, b| a < b));
    assert_eq!(hub.stats().users, 3);
}

#[tokio::test]
async fn on_close_follows_on_open_whatever_ends_the_connection() {
    use std::sync::Mutex;
    use steadfast_ws_hub::{ClientInfo, Disconnect, Observer};

    #[derive(Default)]
    struct Log(Mutex<Vec<(&'static str, String, u16)>>);
    impl Observer for Log {
        fn on_open(&self, client: &ClientInfo) {
            let mut log = self.0.lock().unwrap();
            log.push(("open", client.user.to_string(), 0));
        }
        fn on_close(&self, client: &ClientInfo, disconnect: &Disconnect) {
            let mut log = self.0.lock().unwrap();
            log.push(("close", client.user.to_string(), disconnect.code));
        }
    }
    let log = Arc::new(Log::default());
    let hub = started(builder().observer(log.clone())).await;
    let address = serve(&hub).await;

    drop(connect(address, "gone").await);
    let mut rude = connect(address, "rude").await;
    rude.send_text("nonsense").await;
    assert_eq!(rude.closed().await, Some(3501));
    let mut kicked = connect(address, "kicked").await;
    let why = Disconnect::custom(4501, "go away").unwrap();
    assert_eq!(hub.disconnect("kicked", why.clone()), 1);
    assert_eq!(hub.disconnect("kicked", why.clone()), 0, "only once");
    assert_eq!(kicked.closed().await, Some(4501));
    let stays = connect(address, "stays").await;
    until("three have left", || hub.stats().connections == 1).await;
    hub.stop(Duration::from_millis(50)).await;
    drop(stays);

    let log = log.0.lock().unwrap();
    for (user, code) in [
        ("gone", 3000),
        ("rude", 3501),
        ("kicked", 4501),
        ("stays", 3001),
    ] {
        let entries: Vec<_> = log.iter().filter(|entry| entry.1 == user).collect();
        let expected = [
            &("open", user.to_owned(), 0),
            &("close", user.to_owned(), code),
        ];
        assert_eq!(entries, expected);
    }
}

#[tokio::test]
async fn commands_behind_a_connect_that_failed_are_dropped() {
    let hub = started(builder()).await;
    let mut client = pipe(&hub, 4096).await;
    client
        .send_text(
            "{\"id\":101,\"connect\":{\"token\":\"expired\"}}\n\
             {\"id\":102,\"subscribe\":{\"channel\":\"a\"}}\n\
             {\"id\":103,\"connect\":{\"token\":\"expired\"}}",
        )
        .await;
    let reply = client.next_line().await;
    let code = &reply["error"]["code"];
    assert_eq!((&reply["id"], code), (&json!(101), &json!(109)));
    client.hello("alice").await;
    assert!(client.is_quiet().await);
}
