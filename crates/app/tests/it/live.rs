use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client::Client,
    process::{PATIENCE, Server},
};

/// A schedule that fires each second.
fn every_second() -> Value {
    json!({"cron": "@every 1s", "tz": "UTC", "title": "Stand up", "body": "now"})
}

#[tokio::test]
async fn schedule_fires_and_arrives_on_each_connection_of_its_user_alone() {
    let server = Server::start().await;
    fires_arrive_on_each_connection(&server).await;
    server.stop().await;
}

pub(crate) async fn fires_arrive_on_each_connection(server: &Server) {
    let admin = Client::admin(server).await;
    let (ann, bob) = (
        admin.new_user(server, "ann").await,
        admin.new_user(server, "bob").await,
    );
    let (mut tab, reply) = ann.connect().await;
    let program = ann.by_token(&["notifications:read"]).await;
    let (mut program, _) = program.connect().await;
    let (mut other, _) = bob.connect().await;
    let channel = format!("user:{}", ann.id().await);
    assert_eq!(reply["subs"][&channel]["recoverable"], true, "{reply}");

    let schedule = ann
        .post("/api/v1/schedules", every_second())
        .await
        .expect(201);
    for socket in [&mut tab, &mut program] {
        let data = socket.publication().await;
        assert_eq!(data["type"], "notification");
        let notification = &data["notification"];
        assert_eq!(notification["title"], "Stand up");
        assert_eq!(notification["seq"], 1);
        assert_eq!(notification["schedule_id"], schedule["id"]);
    }
    let stored = ann.notifications().await;
    assert_eq!(stored[0]["schedule_id"], schedule["id"]);
    assert!(other.is_silent_for(Duration::from_millis(200)).await);
    assert!(bob.notifications().await.is_empty());
}

#[tokio::test]
async fn notification_read_in_one_tab_clears_in_the_other() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let (mut one, _) = ann.connect().await;
    let (mut other, _) = ann.connect().await;

    let new = json!({"user_id": ann.id().await, "title": "Hello", "body": "there"});
    let notification = ann.post("/api/v1/notifications", new).await.expect(201);
    let id = notification["id"].as_str().unwrap();
    assert_eq!(one.publication().await["notification"], notification);
    assert_eq!(other.publication().await["notification"], notification);

    let read = ann
        .post(&format!("/api/v1/notifications/{id}/read"), json!({}))
        .await
        .expect(200);
    assert!(read["read_at"].is_string());
    assert_eq!(
        other.publication().await,
        json!({"type": "read", "ids": [id]})
    );

    ann.delete(&format!("/api/v1/notifications/{id}"))
        .await
        .expect(204);
    assert_eq!(
        one.publication().await,
        json!({"type": "read", "ids": [id]})
    );
    assert_eq!(
        one.publication().await,
        json!({"type": "deleted", "ids": [id]})
    );
}

#[tokio::test]
async fn client_that_was_away_recovers_what_it_missed_also_over_a_kill() {
    recovers_over_a_kill(Server::start_in).await;
}

pub(crate) async fn recovers_over_a_kill<F>(start: impl Fn(TempDir) -> F + Send + Sync)
where
    F: Future<Output = Server> + Send,
{
    let server = start(tempfile::tempdir().unwrap()).await;
    let ann = Client::admin(&server).await;
    let id = ann.id().await;
    let channel = format!("user:{id}");
    let publish = async |client: &Client, title: &str| {
        let new = json!({"user_id": id, "title": title, "body": ""});
        client.post("/api/v1/notifications", new).await.expect(201);
    };
    let (mut socket, reply) = ann.connect().await;
    publish(&ann, "seen").await;
    assert_eq!(socket.publication().await["notification"]["title"], "seen");
    drop(socket);
    publish(&ann, "missed").await;

    let server = start(server.kill().await).await;
    let ann = Client::log_in(&server, "root").await;
    publish(&ann, "missed too").await;
    let mut socket = ann.socket(None).await.unwrap();
    let epoch = &reply["subs"][&channel]["epoch"];
    let connect = json!({"subs": {&channel: {"recover": true, "offset": 1, "epoch": epoch}}});
    let reply = socket.command("connect", connect).await;
    let sub = &reply["connect"]["subs"][&channel];
    assert_eq!(sub["recovered"], true, "{reply}");
    let titles: Vec<_> = sub["publications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|publication| {
            publication["data"]["notification"]["title"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(titles, ["missed", "missed too"]);
}

#[tokio::test]
async fn topics_are_for_all_to_read_and_for_the_scope_to_write() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let ann = admin.new_user(&server, "ann").await;
    let (mut reader, _) = ann.connect().await;
    let subscribed = reader
        .command("subscribe", json!({"channel": "topic:news"}))
        .await;
    assert!(subscribed["error"].is_null(), "{subscribed}");

    let limited = admin.by_token(&["notifications:read"]).await;
    let (mut limited, _) = limited.connect().await;
    let news = json!({"channel": "topic:news", "data": {"n": 1}});
    assert_eq!(
        limited.command("publish", news.clone()).await["error"]["code"],
        103
    );

    let writer = admin.by_token(&["topics:write"]).await;
    let (mut writer, _) = writer.connect().await;
    assert!(writer.command("publish", news).await["error"].is_null());
    assert_eq!(reader.publication().await, json!({"n": 1}));

    let foreign = json!({"channel": format!("user:{}", admin.id().await), "data": 1});
    assert_eq!(
        reader.command("publish", foreign.clone()).await["error"]["code"],
        103
    );
    let foreign = json!({"channel": foreign["channel"]});
    assert_eq!(
        reader.command("subscribe", foreign).await["error"]["code"],
        103
    );
}

#[tokio::test]
async fn row_03_nothing_unauthenticated_gets_a_socket() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let nobody = Client::nobody(&server);

    // A foreign page with the user's cookie; a made-up bearer token; a made-up ticket.
    assert_eq!(
        ann.socket(Some("https://evil.example")).await.err(),
        Some(403)
    );
    assert!(ann.socket(Some(&server.url)).await.is_ok());
    assert_eq!(
        nobody.socket_at("/ws?ticket=x", None).await.err(),
        Some(401)
    );

    // No credential at all: the connect command must bring a token.
    let mut socket = nobody.socket(None).await.unwrap();
    socket.send(json!({"id": 1, "connect": {}})).await;
    assert_eq!(socket.close_code().await, Some(3500));
    let mut socket = nobody.socket(None).await.unwrap();
    socket
        .send(json!({"id": 1, "connect": {"token": "sf_wrong"}}))
        .await;
    assert_eq!(socket.close_code().await, Some(3500));
}

#[tokio::test]
async fn ticket_opens_one_socket() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let ticket = ann.post("/api/v1/ws-ticket", json!({})).await.expect(201);
    let path = format!("/ws?ticket={}", ticket["ticket"].as_str().unwrap());

    let nobody = Client::nobody(&server);
    let mut socket = nobody.socket_at(&path, None).await.unwrap();
    let reply = socket.command("connect", json!({})).await;
    assert!(
        reply["connect"]["subs"][format!("user:{}", ann.id().await)].is_object(),
        "{reply}"
    );
    assert_eq!(nobody.socket_at(&path, None).await.err(), Some(401));
}

#[tokio::test]
async fn token_in_the_connect_command_opens_a_session() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let token = ann
        .post(
            "/api/v1/tokens",
            json!({"name": "t", "scopes": ["notifications:read"]}),
        )
        .await
        .expect(201);
    let mut socket = Client::nobody(&server).socket(None).await.unwrap();
    let reply = socket
        .command("connect", json!({"token": token["token"]}))
        .await;
    assert!(
        reply["connect"]["subs"][format!("user:{}", ann.id().await)].is_object(),
        "{reply}"
    );
}

#[tokio::test]
async fn clients_are_told_of_the_shutdown() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let (mut socket, _) = ann.connect().await;
    server.signal("TERM").await;
    assert_eq!(socket.close_code().await, Some(3001));
    let (status, log, _) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn fires_and_their_lateness_are_measured() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    ann.post("/api/v1/schedules", every_second())
        .await
        .expect(201);
    let lines = [
        "steadfast_fires_total{jobs=\"notifications\",outcome=\"succeeded\"}",
        "steadfast_fire_lateness_seconds_bucket{jobs=\"notifications\",le=\"60\"}",
    ];
    let measured = async {
        loop {
            let metrics = server.metrics().await;
            if lines.iter().all(|line| metrics.contains(line)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, measured).await.unwrap();
}
