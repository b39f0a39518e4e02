//! The service while something is wrong: what still works, what is told, and how it ends.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    client::{Answer, Client},
    process::{PATIENCE, Server},
    survival::{has_no_gap_until_after, occurrences, wait_until},
};

/// A connection of somebody else to the server's database.
pub(crate) async fn intruder(data: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(data.join("steadfast.db"))
        .create_if_missing(true)
        .busy_timeout(PATIENCE);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn until(
    client: &Client,
    path: &str,
    reached: impl Fn(&Answer) -> bool + Sync + Send,
) -> Answer {
    let polled = async {
        loop {
            let answer = client.get(path).await;
            if reached(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, polled).await.unwrap()
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let mut list = list.as_array().unwrap().iter();
    list.find(|item| item[key] == name).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn locked_database_is_refused_by_the_breaker_and_comes_back_by_itself() {
    let data = tempfile::tempdir().unwrap();
    let variables = [("STEADFAST_DATABASE_BUSY_TIMEOUT", "100ms")];
    let server = Server::start_with(data, &variables).await;
    let admin = Client::admin(&server).await;
    let publish = json!({"user_id": admin.id().await, "title": "x", "body": ""});

    let mut intruder = intruder(server.data()).await;
    let lock = sqlx::raw_sql("BEGIN IMMEDIATE");
    lock.execute(&mut intruder).await.unwrap();
    let refused = async {
        loop {
            let answer = admin.post("/api/v1/notifications", publish.clone()).await;
            assert_eq!(answer.status.as_u16(), 503, "{}", answer.body);
            // The breaker's words: nobody went to the database, nor waited for its busy timeout.
            if answer.body["detail"].as_str().unwrap().contains("rest") {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    let after: u64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=30).contains(&after), "{after}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");

    let ready = until(&admin, "/readyz", |answer| answer.status == 503).await;
    let database = named(&ready.body["services"], "name", "database");
    let detail = database["detail"].as_str().unwrap();
    assert!(detail.contains("database-writer"), "{detail}");
    let health = until(&admin, "/api/v1/admin/health", |answer| {
        named(&answer.body["alerts"]["active"], "name", "breaker_open") != &Value::Null
    });
    let health = health.await.expect(200);
    let pool = named(&health["database"]["pools"], "name", "database-writer");
    assert_ne!(pool["breaker"]["state"], "closed", "{health}");
    let metrics = server.metrics().await;
    let gauge = "steadfast_alert_active{alert=\"breaker_open\",subject=\"database-writer\"} 1";
    assert!(metrics.contains(gauge), "{metrics}");
    // What only reads goes on.
    admin.get("/api/v1/notifications").await.expect(200);

    sqlx::raw_sql("ROLLBACK")
        .execute(&mut intruder)
        .await
        .unwrap();
    until(&admin, "/readyz", |answer| answer.status == 200).await;
    admin
        .post("/api/v1/notifications", publish)
        .await
        .expect(201);
    let health = until(&admin, "/api/v1/admin/health", |answer| {
        answer.body["alerts"]["active"] == json!([])
    });
    let health = health.await.expect(200);
    let over = named(&health["alerts"]["recent"], "name", "breaker_open");
    assert_eq!(over["subject"], "database-writer", "{health}");
    assert!(over["until"].is_string(), "{health}");
    server.stop().await;
}

#[tokio::test]
async fn fires_wait_while_the_breaker_is_open_and_none_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let variables = [("STEADFAST_DATABASE_BUSY_TIMEOUT", "100ms")];
    let server = Server::start_with(data, &variables).await;
    let admin = Client::admin(&server).await;
    let schedule = json!({"cron": "@every 1s", "tz": "UTC", "title": "tick", "misfire": "all"});
    admin.post("/api/v1/schedules", schedule).await.expect(201);
    wait_until("a fire", async || !occurrences(&admin).await.is_empty()).await;

    let mut intruder = intruder(server.data()).await;
    let lock = sqlx::raw_sql("BEGIN IMMEDIATE");
    lock.execute(&mut intruder).await.unwrap();
    let stored = occurrences(&admin).await;
    // Nobody asks for anything: it is the scheduler that finds out.
    let writer = |answer: &Answer, wanted: &dyn Fn(&Value) -> bool| {
        let pools = &answer.body["database"]["pools"];
        wanted(&named(pools, "name", "database-writer")["breaker"])
    };
    let refused = until(&admin, "/api/v1/admin/health", |answer| {
        writer(answer, &|it| it["refused"].as_u64().unwrap() >= 3)
    });
    refused.await;
    assert_eq!(occurrences(&admin).await, stored);

    let released = Timestamp::now();
    let unlock = sqlx::raw_sql("ROLLBACK");
    unlock.execute(&mut intruder).await.unwrap();
    wait_until("no fire is missing", async || {
        has_no_gap_until_after(released, &occurrences(&admin).await)
    })
    .await;
    let closed = until(&admin, "/api/v1/admin/health", |answer| {
        writer(answer, &|it| it["state"] == "closed")
    });
    closed.await;
    server.stop().await;
}

#[tokio::test]
async fn service_without_privacy_is_degraded_and_serves_the_rest() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    admin.get("/api/v1/privacy/runs").await.expect(200);
    let data = server.stop().await;
    let mut intruder = intruder(data.path()).await;
    let aside = "ALTER TABLE privacy_run RENAME TO aside";
    sqlx::raw_sql(aside).execute(&mut intruder).await.unwrap();

    let server = Server::start_in(data).await;
    let admin = Client::log_in(&server, "root").await;
    let ready = admin.get("/readyz").await.expect(200);
    assert_eq!(ready["status"], "degraded");
    let privacy = named(&ready["services"], "name", "privacy");
    assert_eq!(privacy["state"], "failed", "{ready}");
    assert!(privacy["detail"].is_string(), "{ready}");
    let problem = admin.get("/api/v1/privacy/runs").await;
    assert!(problem.headers.contains_key("retry-after"));
    let problem = problem.expect(503);
    assert!(
        problem["detail"].as_str().unwrap().contains("privacy"),
        "{problem}"
    );
    admin.get("/api/v1/privacy/policies").await.expect(200);
    let publish = json!({"user_id": admin.id().await, "title": "x", "body": ""});
    admin
        .post("/api/v1/notifications", publish)
        .await
        .expect(201);
    let health = until(&admin, "/api/v1/admin/health", |answer| {
        answer.body["alerts"]["active"][0]["subject"] == "privacy"
    });
    let health = health.await.expect(200);
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["alerts"]["active"][0]["name"], "service_down");

    // Once the cause is gone, the next start has it again.
    let data = server.stop().await;
    let back = "ALTER TABLE aside RENAME TO privacy_run";
    sqlx::raw_sql(back).execute(&mut intruder).await.unwrap();
    let server = Server::start_in(data).await;
    let admin = Client::log_in(&server, "root").await;
    assert_eq!(admin.get("/readyz").await.expect(200)["status"], "running");
    server.stop().await;
}

#[tokio::test]
async fn health_of_the_system_is_for_operators_auditors_and_admins() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let health = admin.get("/api/v1/admin/health").await.expect(200);
    assert_eq!(health["status"], "running");
    let service = named(&health["services"], "name", "database");
    assert_eq!(
        (&service["state"], &service["required"]),
        (&json!("running"), &json!(true))
    );
    let age = service["age_seconds"].as_f64().unwrap();
    let later = until(&admin, "/api/v1/admin/health", |answer| {
        let service = named(&answer.body["services"], "name", "database");
        service["age_seconds"].as_f64().unwrap() > age
    });
    assert_eq!(
        named(&later.await.body["services"], "name", "database")["since"],
        service["since"]
    );
    assert_eq!(health["database"]["generation"], 1);
    assert_eq!(health["alerts"]["active"], json!([]));

    for (role, status) in [("user", 403), ("operator", 200), ("auditor", 200)] {
        let new = json!({"username": role, "password": crate::client::PASSWORD, "role": role});
        admin.post("/api/v1/users", new).await.expect(201);
        let client = Client::log_in(&server, role).await;
        client.get("/api/v1/admin/health").await.expect(status);
    }
    let token = admin.by_token(&["admin:read"]).await;
    token.get("/api/v1/admin/health").await.expect(200);
    let token = admin.by_token(&["notifications:read"]).await;
    token.get("/api/v1/admin/health").await.expect(403);
    Client::nobody(&server)
        .get("/api/v1/admin/health")
        .await
        .expect(401);
    server.stop().await;
}
