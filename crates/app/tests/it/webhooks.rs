use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    client::Client,
    process::{PATIENCE, Server},
};

/// Lets webhooks lead to this machine.
const ALLOW: (&str, &str) = ("STEADFAST_WEBHOOK_ALLOW", "127.0.0.0/8");

/// A program's endpoint: what came, and how it is to answer, 200 where nothing is said.
#[derive(Clone, Default)]
struct Endpoint {
    came: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

/// The answer that never comes.
const NEVER: u16 = 999;

impl Endpoint {
    async fn start(answers: &[u16]) -> (Self, String) {
        let endpoint = Self::default();
        endpoint.answers.lock().unwrap().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(Self::take));
        let router = router.with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (endpoint, url)
    }

    async fn take(State(it): State<Self>, headers: HeaderMap, body: String) -> StatusCode {
        it.came.lock().unwrap().push((headers, body));
        let answer = it.answers.lock().unwrap().pop_front().unwrap_or(200);
        if answer == NEVER {
            std::future::pending::<()>().await;
        }
        StatusCode::from_u16(answer).unwrap()
    }

    /// Waits until so many posts came.
    async fn reached(&self, count: usize) -> Vec<(HeaderMap, Value)> {
        let reached = async {
            loop {
                let came = self.came.lock().unwrap().clone();
                if came.len() >= count {
                    let read = |(headers, body): (_, String)| {
                        (headers, serde_json::from_str(&body).unwrap())
                    };
                    return came.into_iter().map(read).collect();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap()
    }
}

async fn create(client: &Client, url: &str) -> Value {
    let new = json!({"kind": "webhook", "name": "Hook", "url": url});
    client.post("/api/v1/channels", new).await.expect(201)
}

async fn publish(client: &Client, title: &str) {
    let user = client.id().await;
    let new = json!({"user_id": user, "title": title, "channels": ["ws", "webhook"]});
    client.post("/api/v1/notifications", new).await.expect(201);
}

/// Waits until the newest delivery is in that state.
async fn delivery(client: &Client, state: &str) -> Value {
    let reached = async {
        loop {
            let page = client.get("/api/v1/deliveries").await.expect(200);
            if page["items"][0]["state"] == state {
                return page["items"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap()
}

#[tokio::test]
async fn notification_is_posted_with_a_signature_that_the_secret_verifies() {
    let server = Server::start_with(tempdir().unwrap(), &[ALLOW]).await;
    let ann = Client::admin(&server).await;
    let (endpoint, url) = Endpoint::start(&[]).await;
    let created = create(&ann, &url).await;
    publish(&ann, "Hello").await;
    let came = endpoint.reached(1).await;
    let (headers, body) = &came[0];
    assert_eq!(body["type"], "notification");
    assert_eq!(body["notification"]["title"], "Hello");
    let sent = delivery(&ann, "sent").await;
    assert_eq!(sent["attempts"], 1);
    assert_eq!(body["delivery_id"], sent["id"]);

    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(json!(header("webhook-id")), sent["id"]);
    let secret = created["secret"].as_str().unwrap();
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    let raw = endpoint.came.lock().unwrap()[0].1.clone();
    let signed = format!(
        "{}.{}.{raw}",
        header("webhook-id"),
        header("webhook-timestamp")
    );
    mac.update(signed.as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);

    let path = format!("/api/v1/channels/{}", created["id"].as_str().unwrap());
    let seen = ann.get(&path).await.expect(200);
    assert!(seen.get("secret").is_none(), "{seen}");
    let tested = ann
        .post(&format!("{path}/test"), json!({}))
        .await
        .expect(200);
    assert_eq!(tested, json!({"delivered": true, "error": null}));
}

#[tokio::test]
async fn killed_after_the_post_it_posts_again_with_the_same_id() {
    let server = Server::start_with(tempdir().unwrap(), &[ALLOW]).await;
    let ann = Client::admin(&server).await;
    let (endpoint, url) = Endpoint::start(&[NEVER]).await;
    create(&ann, &url).await;
    publish(&ann, "Hello").await;
    endpoint.reached(1).await;
    let data = server.kill().await;
    let server = Server::start_with(data, &[ALLOW]).await;
    let came = endpoint.reached(2).await;
    assert_eq!(came[0].0["webhook-id"], came[1].0["webhook-id"]);
    assert_eq!(came[0].1, came[1].1);
    let ann = Client::log_in(&server, "root").await;
    delivery(&ann, "sent").await;
}

#[tokio::test]
async fn dead_letter_is_sent_when_its_owner_retries_it() {
    let server = Server::start_with(tempdir().unwrap(), &[ALLOW]).await;
    let root = Client::admin(&server).await;
    let (ann, bob) = (
        root.new_user(&server, "ann").await,
        root.new_user(&server, "bob").await,
    );
    let (endpoint, url) = Endpoint::start(&[410]).await;
    let created = create(&ann, &url).await;
    publish(&ann, "Hello").await;
    let dead = delivery(&ann, "dead").await;
    assert_eq!(dead["last_error"], "it answered 410 Gone");
    let retry = format!("/api/v1/deliveries/{}/retry", dead["id"].as_str().unwrap());
    bob.post(&retry, json!({})).await.expect(404);
    let channel = format!("/api/v1/channels/{}", created["id"].as_str().unwrap());
    bob.get(&channel).await.expect(404);
    bob.patch(&channel, json!({"enabled": false}))
        .await
        .expect(404);
    bob.delete(&channel).await.expect(404);
    bob.post(&format!("{channel}/test"), json!({}))
        .await
        .expect(404);
    bob.post(&format!("{channel}/rotate-secret"), json!({}))
        .await
        .expect(404);
    let page = bob.get("/api/v1/deliveries").await.expect(200);
    assert_eq!(page["items"], json!([]));

    ann.post(&retry, json!({})).await.expect(200);
    endpoint.reached(2).await;
    delivery(&ann, "sent").await;
    ann.post(&retry, json!({})).await.expect(409);
}

#[tokio::test]
async fn channel_that_leads_inside_is_refused_and_not_stored() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    for (new, pointer) in [
        (
            json!({"kind": "webhook", "name": "x", "url": "https://127.1/"}),
            "/url",
        ),
        (
            json!({"kind": "webhook", "name": "x", "url": "http://example.org/"}),
            "/url",
        ),
        (
            json!({"kind": "email", "name": "x", "address": "a@example.org"}),
            "/kind",
        ),
        (json!({"kind": "ws", "name": "x"}), "/kind"),
        (json!({"kind": "smoke", "name": "x"}), "/kind"),
    ] {
        let problem = ann.post("/api/v1/channels", new.clone()).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{new}: {problem}");
    }
    let page = ann.get("/api/v1/channels").await.expect(200);
    assert_eq!(page["items"], json!([]));

    // A name is looked at when it is connected to.
    let created = create(&ann, "https://localhost:9/").await;
    let test = format!("/api/v1/channels/{}/test", created["id"].as_str().unwrap());
    let tested = ann.post(&test, json!({})).await.expect(200);
    let error = "its name leads to no public address";
    assert_eq!(tested, json!({"delivered": false, "error": error}));
}
