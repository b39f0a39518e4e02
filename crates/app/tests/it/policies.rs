//! Retention policies and the audit log over the API.

use reqwest::Method;
use serde_json::{Value, json};
use steadfast_testkit::{PrivatePostgres, server_or_skip};

use crate::{
    client::{Answer, Client, PASSWORD, answer},
    process::Server,
};

const SESSIONS: &str = "/api/v1/privacy/policies/sessions";

async fn patch(client: &Client, path: &str, if_match: &str, body: Value) -> Answer {
    let request = client.request(Method::PATCH, path).json(&body);
    answer(request.header("if-match", if_match)).await
}

/// A new user of a role, logged in.
async fn somebody(admin: &Client, server: &Server, role: &str) -> Client {
    let body = json!({"username": role, "password": PASSWORD, "role": role});
    admin.post("/api/v1/users", body).await.expect(201);
    Client::log_in(server, role).await
}

fn pointer(problem: &Value) -> &str {
    problem["errors"][0]["pointer"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn policies_are_changed_within_caps_by_version_and_survive_a_restart() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let listed = admin.get("/api/v1/privacy/policies").await.expect(200);
    let of = |listed: &Value, records: &str| {
        let items = listed["items"].as_array().unwrap();
        let found = items.iter().find(|it| it["records"] == records);
        found.unwrap()["days"].as_u64().unwrap()
    };
    for (records, days) in [
        ("read_notifications", 90),
        ("unread_notifications", 180),
        ("sessions", 30),
        ("audit_entries", 365),
        ("idempotency_keys", 1),
        ("privacy_runs", 400),
    ] {
        assert_eq!(of(&listed, records), days, "{records}");
    }
    let one = admin.get(SESSIONS).await;
    assert_eq!(one.headers["etag"], "\"1\"");
    assert_eq!(one.expect(200)["version"], 1);

    for (body, at) in [
        (json!({"days": 0}), "/days"),
        (json!({"days": 366}), "/days"),
        (json!({"days": -1}), "/days"),
        (json!({"days": "long"}), "/days"),
        (json!({"legal_hold": 1}), "/legal_hold"),
        (json!({"reason": ""}), "/reason"),
        (json!({"reason": "x".repeat(501)}), "/reason"),
        (json!({"min_days": 0}), "/min_days"),
    ] {
        let refused = admin.patch(SESSIONS, body.clone()).await.expect(422);
        assert_eq!(pointer(&refused), at, "{body}: {refused}");
    }
    let nothing = "/api/v1/privacy/policies/smoke_signals";
    admin.patch(nothing, json!({})).await.expect(404);
    admin.get(nothing).await.expect(404);
    assert_eq!(admin.get(SESSIONS).await.expect(200)["version"], 1);

    let body = json!({"days": 60, "legal_hold": true, "reason": "case 12"});
    let changed = patch(&admin, SESSIONS, "\"1\"", body.clone()).await;
    assert_eq!(changed.headers["etag"], "\"2\"");
    assert_eq!(changed.expect(200)["reason"], "case 12");
    patch(&admin, SESSIONS, "\"1\"", body).await.expect(412);

    let server = Server::start_in(server.stop().await).await;
    let admin = Client::log_in(&server, "root").await;
    let kept = admin.get(SESSIONS).await.expect(200);
    let fields = ["days", "legal_hold", "version"].map(|name| kept[name].clone());
    assert_eq!(fields, [json!(60), json!(true), json!(2)]);
    server.stop().await;
}

#[tokio::test]
async fn only_administrators_change_policies_and_only_auditors_and_they_see_the_audit_log() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let list = "/api/v1/privacy/policies";
    let audit = "/api/v1/admin/audit";
    for (role, sees) in [("user", 403), ("operator", 403), ("auditor", 200)] {
        let client = somebody(&admin, &server, role).await;
        client.get(list).await.expect(sees);
        client.get(SESSIONS).await.expect(sees);
        client.get(audit).await.expect(sees);
        client.patch(SESSIONS, json!({"days": 9})).await.expect(403);
    }
    let blind = admin.by_token(&["schedules:read"]).await;
    blind.get(audit).await.expect(403);
    blind.patch(SESSIONS, json!({"days": 9})).await.expect(403);
    Client::nobody(&server).get(audit).await.expect(401);
    server.stop().await;
}

#[tokio::test]
async fn audit_log_has_who_did_what_on_sqlite() {
    let server = Server::start().await;
    audit_log_has_who_did_what(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn audit_log_has_who_did_what_on_postgres() {
    let Some(postgres) = server_or_skip(PrivatePostgres::start().await) else {
        return;
    };
    let variables = [("STEADFAST_DATABASE_URL", &*postgres.url())];
    let server = Server::start_with(tempfile::tempdir().unwrap(), &variables).await;
    audit_log_has_who_did_what(&server).await;
    server.stop().await;
}

async fn audit_log_has_who_did_what(server: &Server) {
    let admin = Client::admin(server).await;
    let (root, ann) = (admin.id().await, admin.new_user(server, "ann").await);
    let login = "/api/v1/auth/login";
    for username in ["ann", "my password, in the wrong field"] {
        let wrong = json!({"username": username, "password": "a wrong one"});
        Client::nobody(server).post(login, wrong).await.expect(401);
    }
    let token = json!({"name": "t", "scopes": ["schedules:write"]});
    let token = ann.post("/api/v1/tokens", token).await.expect(201);
    let id = token["id"].as_str().unwrap();
    ann.delete(&format!("/api/v1/tokens/{id}")).await;
    let schedule = json!({"cron": "@daily", "tz": "UTC", "title": "Water"});
    let schedule = ann.post("/api/v1/schedules", schedule).await.expect(201);
    let schedule = schedule["id"].as_str().unwrap();
    for verb in ["run", "pause", "resume"] {
        let path = format!("/api/v1/schedules/{schedule}/{verb}");
        assert!(ann.post(&path, json!({})).await.status.is_success());
    }
    admin.patch(SESSIONS, json!({"days": 60})).await.expect(200);
    let asked = json!({"operation": "compliance"});
    let asked = admin.post("/api/v1/privacy/runs", asked).await;
    let request = asked.headers["x-request-id"].to_str().unwrap().to_owned();
    let run = asked.expect(202);
    let run = format!("/api/v1/privacy/runs/{}", run["id"].as_str().unwrap());
    crate::survival::wait_until("the run", async || {
        let found = admin.get(&run).await;
        found.status == 200 && found.body["status"] != "running"
    })
    .await;
    let ann_id = ann.id().await;
    ann.post("/api/v1/auth/logout", json!({})).await;

    let log = admin.get("/api/v1/admin/audit").await.expect(200);
    let entries = log["items"].as_array().unwrap();
    let short: Vec<_> = entries
        .iter()
        .rev()
        .map(|entry| {
            assert_eq!(entry["address"], "127.0.0.1", "{entry}");
            let who = match entry["user_id"].as_str() {
                None => "nobody",
                Some(id) if id == root => "root",
                Some(id) if id == ann_id => "ann",
                Some(_) => "somebody",
            };
            let done = if entry["succeeded"] == true {
                ""
            } else {
                "not "
            };
            format!("{who} {done}{}", entry["action"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        short,
        [
            "root setup",
            "root user.create",
            "ann login",
            "ann not login",
            "nobody not login",
            "ann token.create",
            "ann token.delete",
            "ann schedule.run",
            "ann schedule.pause",
            "ann schedule.resume",
            "root policy.change",
            "root privacy.run",
            "ann logout",
        ]
    );
    let change = &entries[2];
    assert_eq!(change["target"], "sessions");
    assert_eq!(change["detail"], "30 days -> 60 days");
    assert_eq!(entries[1]["request_id"], request);
    let text = log.to_string();
    for secret in [
        "wrong field",
        "a wrong one",
        PASSWORD,
        token["token"].as_str().unwrap(),
    ] {
        assert!(!text.contains(secret), "{text}");
    }
    pages_and_filters(&admin, entries, &ann_id).await;
}

async fn pages_and_filters(admin: &Client, entries: &[Value], ann: &str) {
    let mut paged = Vec::new();
    let mut path = "/api/v1/admin/audit?limit=5".to_owned();
    loop {
        let page = admin.get(&path).await.expect(200);
        paged.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/admin/audit?limit=5&cursor={next}");
    }
    assert_eq!(paged, entries);
    let count = async |filter: &str| {
        let path = format!("/api/v1/admin/audit?{filter}");
        let page = admin.get(&path).await.expect(200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("action=login").await, 3);
    assert_eq!(count(&format!("user_id={ann}")).await, 8);
    assert_eq!(count(&format!("user_id={ann}&action=login")).await, 2);
    for wrong in ["action=dance", "cursor=x", "limit=0", "user_id=ann"] {
        let path = format!("/api/v1/admin/audit?{wrong}");
        let refused = admin.get(&path).await.expect(422);
        let name = wrong.split('=').next().unwrap();
        assert_eq!(pointer(&refused), format!("?{name}"), "{refused}");
    }
}
