use serde_json::{Value, json};

use crate::{
    client::{Client, answer},
    process::Server,
};

fn stand_up() -> Value {
    json!({
        "cron": "0 9 * * 1-5", "tz": "Europe/Berlin", "title": "Stand-up", "body": "b",
        "channels": ["ws"], "misfire": "once"
    })
}

fn path(schedule: &Value) -> String {
    format!("/api/v1/schedules/{}", schedule["id"].as_str().unwrap())
}

#[tokio::test]
async fn created_schedule_has_the_fields_of_the_contract() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let created = ann.post("/api/v1/schedules", stand_up()).await;
    assert_eq!(created.headers["etag"], "\"1\"");
    let schedule = created.expect(201);
    let mut keys: Vec<_> = schedule
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
            "channels",
            "created_at",
            "cron",
            "dialect",
            "enabled",
            "id",
            "misfire",
            "next_fires",
            "title",
            "tz",
            "updated_at",
            "user_id",
            "version"
        ]
    );
    assert_eq!(schedule["version"], 1);
    assert_eq!(schedule["dialect"], "posix5");
    assert_eq!(schedule["user_id"].as_str().unwrap(), ann.id().await);
    let fires = schedule["next_fires"].as_array().unwrap();
    assert_eq!(fires.len(), 5);
    for fire in fires {
        let fire = fire.as_str().unwrap();
        assert!(fire.contains("T09:00:00+0"), "{fire}");
    }
}

#[tokio::test]
async fn preview_says_what_it_means_and_when_it_fires() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let request = json!({
        "cron": "0 9 * * 1-5", "dialect": "posix5", "tz": "Europe/Berlin",
        "from": "2026-03-27T12:00:00Z", "count": 2
    });
    let preview = ann
        .post("/api/v1/schedules/preview", request)
        .await
        .expect(200);
    // Monday after the clocks went forward.
    let expected = ["2026-03-30T09:00:00+02:00", "2026-03-31T09:00:00+02:00"];
    assert_eq!(preview["next_fires"], json!(expected));
    assert!(!preview["description"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn row_12_sunday_is_sunday() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    for cron in ["0 9 * * 0", "0 9 * * 7", "0 9 * * sun"] {
        let request =
            json!({"cron": cron, "tz": "UTC", "from": "2026-11-24T00:00:00Z", "count": 1});
        let preview = ann
            .post("/api/v1/schedules/preview", request)
            .await
            .expect(200);
        assert_eq!(
            preview["next_fires"],
            json!(["2026-11-29T09:00:00+00:00"]),
            "{cron}"
        );
    }
}

#[tokio::test]
async fn stale_version_is_refused_and_nothing_changes() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let schedule = ann.post("/api/v1/schedules", stand_up()).await.expect(201);
    let change = async |version: &str, title: &str| {
        let request = ann.request(reqwest::Method::PATCH, &path(&schedule));
        answer(
            request
                .header("if-match", version)
                .json(&json!({"title": title})),
        )
        .await
    };
    let changed = change("\"1\"", "second").await.expect(200);
    assert_eq!(
        (&changed["version"], &changed["title"]),
        (&json!(2), &json!("second"))
    );
    change("\"1\"", "stale").await.expect(412);
    let delete = ann.request(reqwest::Method::DELETE, &path(&schedule));
    answer(delete.header("if-match", "\"1\"")).await.expect(412);
    assert_eq!(
        ann.get(&path(&schedule)).await.expect(200)["title"],
        "second"
    );
    ann.delete(&path(&schedule)).await.expect(204);
    ann.get(&path(&schedule)).await.expect(404);
}

#[tokio::test]
async fn row_13_concurrent_updates_are_all_applied_and_versions_count_them() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let schedule = ann.post("/api/v1/schedules", stand_up()).await.expect(201);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..32 {
        let (ann, path) = (ann.clone(), path(&schedule));
        writers.spawn(async move {
            let changed = ann
                .patch(&path, json!({"title": format!("t{n}")}))
                .await
                .expect(200);
            changed["version"].as_u64().unwrap()
        });
    }
    let mut versions = writers.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (2..=33).collect::<Vec<_>>());
    assert_eq!(ann.get(&path(&schedule)).await.expect(200)["version"], 33);
}

#[tokio::test]
async fn other_users_schedules_are_not_found() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let ann = admin.new_user(&server, "ann").await;
    let schedule = admin
        .post("/api/v1/schedules", stand_up())
        .await
        .expect(201);
    let path = path(&schedule);
    ann.get(&path).await.expect(404);
    ann.patch(&path, json!({"title": "mine"})).await.expect(404);
    ann.delete(&path).await.expect(404);
    for verb in ["pause", "resume", "run"] {
        ann.post(&format!("{path}/{verb}"), json!({}))
            .await
            .expect(404);
    }
    assert_eq!(
        ann.get("/api/v1/schedules").await.expect(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn paused_schedule_has_no_next_fire_until_it_is_resumed() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let schedule = ann.post("/api/v1/schedules", stand_up()).await.expect(201);
    let paused = ann
        .post(&format!("{}/pause", path(&schedule)), json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&paused["enabled"], &paused["next_fires"]),
        (&json!(false), &json!([]))
    );
    ann.post(&format!("{}/run", path(&schedule)), json!({}))
        .await
        .expect(409);
    let resumed = ann
        .post(&format!("{}/resume", path(&schedule)), json!({}))
        .await
        .expect(200);
    assert_eq!(resumed["next_fires"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn run_now_notifies_at_once() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let (mut socket, _) = ann.connect().await;
    let schedule = ann.post("/api/v1/schedules", stand_up()).await.expect(201);
    ann.post(&format!("{}/run", path(&schedule)), json!({}))
        .await
        .expect(202);
    let data = socket.publication().await;
    assert_eq!(data["notification"]["schedule_id"], schedule["id"]);
}

#[tokio::test]
async fn pages_of_the_list_follow_each_other() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    for n in 0..5 {
        let schedule = json!({"cron": "@daily", "tz": "UTC", "title": format!("t{n}")});
        ann.post("/api/v1/schedules", schedule).await.expect(201);
    }
    let mut titles = Vec::new();
    let mut path = "/api/v1/schedules?limit=2".to_owned();
    loop {
        let page = ann.get(&path).await.expect(200);
        titles.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|s| s["title"].clone()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/schedules?limit=2&cursor={next}");
    }
    assert_eq!(titles, ["t0", "t1", "t2", "t3", "t4"]);
}
