use serde_json::json;

use crate::{
    client::{Client, answer},
    process::Server,
};

#[tokio::test]
async fn published_notification_has_the_fields_of_the_contract() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let new = json!({
        "user_id": ann.id().await, "title": "Hello", "body": "there", "topic": "news", "urgent": true
    });
    let notification = ann.post("/api/v1/notifications", new).await.expect(201);
    let mut keys: Vec<_> = notification
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "body",
            "created_at",
            "id",
            "read_at",
            "schedule_id",
            "scheduled_for",
            "seq",
            "title",
            "topic",
            "urgent",
            "user_id"
        ]
    );
    assert_eq!(notification["seq"], 1);
    let path = format!(
        "/api/v1/notifications/{}",
        notification["id"].as_str().unwrap()
    );
    assert_eq!(ann.get(&path).await.expect(200), notification);
}

#[tokio::test]
async fn same_idempotency_key_stores_once_and_another_body_is_refused() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let id = ann.id().await;
    let publish = async |key: &str, title: &str| {
        let body = json!({"user_id": id, "title": title, "body": ""});
        let request = ann.request(reqwest::Method::POST, "/api/v1/notifications");
        answer(request.header("idempotency-key", key).json(&body)).await
    };
    let first = publish("k1", "a").await.expect(201);
    assert_eq!(publish("k1", "a").await.expect(201), first);
    publish("k1", "b").await.expect(422);
    let other = publish("k2", "a").await.expect(201);
    assert_eq!(other["seq"], 2);
    assert_eq!(ann.notifications().await.len(), 2);
}

#[tokio::test]
async fn concurrent_calls_with_one_key_store_once() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let body = json!({"user_id": ann.id().await, "title": "once", "body": ""});
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let request = ann.request(reqwest::Method::POST, "/api/v1/notifications");
        let request = request.header("idempotency-key", "k").json(&body);
        callers.spawn(async { answer(request).await.status.as_u16() });
    }
    let statuses = callers.join_all().await;
    assert!(statuses.contains(&201), "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [201, 409].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(ann.notifications().await.len(), 1);
}

#[tokio::test]
async fn users_notify_themselves_and_operators_notify_anybody() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let ann = admin.new_user(&server, "ann").await;
    let to =
        async |client: &Client| json!({"user_id": client.id().await, "title": "t", "body": ""});
    ann.post("/api/v1/notifications", to(&ann).await)
        .await
        .expect(201);
    ann.post("/api/v1/notifications", to(&admin).await)
        .await
        .expect(403);
    let for_ann = admin
        .post("/api/v1/notifications", to(&ann).await)
        .await
        .expect(201);
    assert_eq!(for_ann["seq"], 2);

    // What is another user's is not found.
    let path = format!("/api/v1/notifications/{}", for_ann["id"].as_str().unwrap());
    admin.get(&path).await.expect(404);
    admin
        .post(&format!("{path}/read"), json!({}))
        .await
        .expect(404);
    admin.delete(&path).await.expect(404);
    ann.get(&path).await.expect(200);
}

#[tokio::test]
async fn read_all_leaves_nothing_unread() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let new = json!({"user_id": ann.id().await, "title": "t", "body": ""});
    for _ in 0..3 {
        ann.post("/api/v1/notifications", new.clone())
            .await
            .expect(201);
    }
    let unread = async || {
        let page = ann
            .get("/api/v1/notifications?unread=true")
            .await
            .expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(unread().await, 3);
    let read = ann
        .post("/api/v1/notifications/read-all", json!({}))
        .await
        .expect(200);
    assert_eq!(read, json!({"read": 3}));
    assert_eq!(unread().await, 0);
}
