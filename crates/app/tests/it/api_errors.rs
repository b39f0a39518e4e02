use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Answer, Client, PASSWORD, answer},
    process::{PATIENCE, Server},
};

/// Holds an answer against RFC 9457, and the wanted status and field.
#[track_caller]
pub(crate) fn check(what: &str, answer: &Answer, status: u16, pointer: Option<&str>) {
    assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.body);
    assert_eq!(
        answer.headers["content-type"], "application/problem+json",
        "{what}"
    );
    let body = &answer.body;
    assert_eq!(body["status"], status, "{what}");
    for field in ["type", "title", "detail", "instance"] {
        assert!(
            !body[field].as_str().unwrap_or_default().is_empty(),
            "{what}: {field} in {body}"
        );
    }
    let request_id = answer.headers["x-request-id"].to_str().unwrap();
    assert!(
        body["instance"].as_str().unwrap().ends_with(request_id),
        "{what}: {body}"
    );
    if let Some(pointer) = pointer {
        let errors = body["errors"].as_array().expect(what);
        assert!(
            errors.iter().any(|error| error["pointer"] == pointer),
            "{what}: {body}"
        );
    }
}

#[tokio::test]
async fn bad_schedules_are_refused_by_field_and_nothing_is_stored() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let with = |field: &str, value: Value| {
        let mut schedule = json!({"cron": "0 9 * * *", "tz": "UTC", "title": "t", "body": ""});
        schedule[field] = value;
        schedule
    };
    for (body, pointer) in [
        (with("cron", json!("61 * * * *")), "/cron"),
        (with("cron", json!("0 9 30 2 *")), "/cron"),
        (with("cron", json!("* * * * * *")), "/cron"),
        (with("cron", json!("@every 1ms")), "/cron"),
        (with("cron", json!("9".repeat(5_000))), "/cron"),
        (with("cron", json!(5)), "/cron"),
        (with("tz", json!("Europe/Berlim")), "/tz"),
        (with("dialect", json!("cron7")), "/dialect"),
        (with("title", json!("")), "/title"),
        (with("title", json!("x".repeat(201))), "/title"),
        (with("channels", json!(["ws", "pigeon"])), "/channels/1"),
        (with("channels", json!([])), "/channels"),
        (with("misfire", json!("sometimes")), "/misfire"),
        (with("titel", json!("t")), "/titel"),
    ] {
        let refused = ann.post("/api/v1/schedules", body.clone()).await;
        check(
            &format!("{pointer} of {body:.80}"),
            &refused,
            422,
            Some(pointer),
        );
    }
    let both = json!({"cron": "nonsense", "tz": "Mars/Base", "title": ""});
    let refused = ann.post("/api/v1/schedules", both).await;
    for pointer in ["/cron", "/tz", "/title"] {
        check("all errors at once", &refused, 422, Some(pointer));
    }
    assert_eq!(
        ann.get("/api/v1/schedules").await.expect(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn json_of_the_wrong_shape_is_told_from_what_is_no_json() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    for (path, body, pointer) in [
        ("/api/v1/users", json!({}), "/username"),
        (
            "/api/v1/users",
            json!({"username": "a", "password": PASSWORD, "role": 1}),
            "/role",
        ),
        (
            "/api/v1/tokens",
            json!({"name": "n", "scopes": [1]}),
            "/scopes/0",
        ),
        ("/api/v1/auth/login", json!(["root", PASSWORD]), ""),
        (
            "/api/v1/schedules",
            json!({"cron": "@daily", "tz": "UTC", "title": "t", "misfire": null}),
            "/misfire",
        ),
    ] {
        let refused = ann.post(path, body.clone()).await;
        check(&body.to_string(), &refused, 422, Some(pointer));
    }
    check("API root", &ann.get("/api").await, 404, None);
    check("no upgrade", &ann.get("/ws").await, 426, None);
    check(
        "unknown parameter",
        &ann.get("/api/v1/schedules?bogus=1").await,
        422,
        Some("?bogus"),
    );
}

#[tokio::test]
async fn bad_requests_get_a_clear_answer() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let nobody = Client::nobody(&server);
    let schedules = || ann.request(Method::POST, "/api/v1/schedules");
    let json_type = ("content-type", "application/json");

    let broken = schedules().header(json_type.0, json_type.1).body("{");
    check("broken JSON", &answer(broken).await, 400, None);
    let form = schedules().body("cron=x");
    check("no JSON", &answer(form).await, 415, None);
    let oversized =
        json!({"cron": "@daily", "tz": "UTC", "title": "t", "body": "x".repeat(70_000)});
    check(
        "oversized body",
        &answer(schedules().json(&oversized)).await,
        413,
        None,
    );
    check(
        "no credential",
        &nobody.get("/api/v1/schedules").await,
        401,
        None,
    );
    let wrong = nobody
        .request(Method::GET, "/api/v1/me")
        .bearer_auth("sf_wrong");
    check("wrong token", &answer(wrong).await, 401, None);
    let wrong = nobody
        .request(Method::GET, "/api/v1/me")
        .header("authorization", "Basic eA==");
    check("another scheme", &answer(wrong).await, 401, None);
    check("no such path", &ann.get("/api/v1/nosuch").await, 404, None);
    check(
        "no such method",
        &ann.delete("/api/v1/schedules").await,
        405,
        None,
    );
    check(
        "id that is none",
        &ann.get("/api/v1/schedules/7").await,
        404,
        None,
    );
    let unknown = "/api/v1/schedules/0190a6b2-0000-7000-8000-000000000000";
    check("unknown id", &ann.get(unknown).await, 404, None);
    let limit = ann.get("/api/v1/schedules?limit=0").await;
    check("limit of zero", &limit, 422, Some("?limit"));
    let limit = ann.get("/api/v1/notifications?limit=many").await;
    check("limit that is none", &limit, 422, Some("?limit"));
    check(
        "cursor that is none",
        &ann.get("/api/v1/users?cursor=x").await,
        422,
        Some("?cursor"),
    );
    let if_match = ann
        .request(Method::PATCH, unknown)
        .header("if-match", "abc")
        .json(&json!({}));
    check("If-Match that is none", &answer(if_match).await, 400, None);
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let server = Server::start().await;
    let nobody = Client::nobody(&server);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..600 {
        let nobody = nobody.clone();
        requests.spawn(async move { nobody.get("/api/v1/setup").await });
    }
    let answers = requests.join_all().await;
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status.as_u16() == 429)
        .collect();
    assert!(!refused.is_empty() && refused.len() < answers.len());
    for answer in refused {
        check("too many", answer, 429, None);
        assert!(
            answer.headers["retry-after"]
                .to_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
                >= 1
        );
    }
    // The probes are never refused.
    nobody.get("/livez").await.expect(200);
}

#[tokio::test]
async fn every_described_path_is_there() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let description = ann.get("/openapi.json").await.expect(200);
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() >= 15, "{paths:?}");
    let operations = paths
        .values()
        .flat_map(|path| path.as_object().unwrap().values());
    let ids: Vec<_> = operations
        .map(|operation| operation["operationId"].to_string())
        .collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    for path in paths.keys() {
        // TRACE is nowhere: a path that exists says so, one that does not is not found.
        let path = path.replace("{id}", "0190a6b2-0000-7000-8000-000000000000");
        answer(ann.request(Method::TRACE, &path)).await.expect(405);
    }
}

#[tokio::test]
async fn wrong_method_is_a_problem_everywhere_and_head_answers_like_get() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    for path in ["/livez", "/readyz", "/ws", "/openapi.json", "/api/v1/me"] {
        let wrong = answer(ann.request(Method::PUT, path)).await;
        check(path, &wrong, 405, None);
        assert!(wrong.headers.contains_key("allow"), "{path}");
    }
    for path in ["/api/v1/schedules", "/api/v1/notifications", "/readyz"] {
        let head = answer(ann.request(Method::HEAD, path)).await;
        assert_eq!(
            (head.status.as_u16(), head.body),
            (200, json!("")),
            "{path}"
        );
        assert_eq!(head.headers["content-type"], "application/json", "{path}");
    }
}

#[tokio::test]
async fn no_other_origin_is_let_in() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    for (method, path) in [
        (Method::OPTIONS, "/api/v1/schedules"),
        (Method::GET, "/api/v1/schedules"),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/readyz"),
    ] {
        let request = ann
            .request(method, path)
            .header("origin", "https://elsewhere.example")
            .header("access-control-request-method", "POST");
        let headers = answer(request).await.headers;
        let mut names = headers.keys().map(reqwest::header::HeaderName::as_str);
        assert!(
            !names.any(|name| name.starts_with("access-control-")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn body_that_comes_too_slowly_is_408() {
    let server = Server::start().await;
    let address = server.url.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\n\
                content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    // To the end: the connection is closed, since the rest of the body is not waited for.
    let all = slow.read_to_string(&mut text);
    tokio::time::timeout(PATIENCE, all).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert!(text.contains("application/problem+json"), "{text}");
}

#[tokio::test]
async fn most_talkative_log_repeats_no_secret() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data, &[("STEADFAST_LOG", "trace")]).await;
    let setup = std::fs::read_to_string(server.setup_token_file()).unwrap();
    let admin = Client::admin(&server).await;
    let program = admin.by_token(&["notifications:read"]).await;
    let ticket = program
        .post("/api/v1/ws-ticket", json!({}))
        .await
        .expect(201);
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    let path = format!("/ws?ticket={ticket}");
    Client::nobody(&server)
        .socket_at(&path, None)
        .await
        .unwrap();
    program.connect().await;
    let mut secrets = vec![setup, ticket, PASSWORD.to_owned()];
    secrets.extend(admin.secrets().into_iter().chain(program.secrets()));
    assert_eq!(secrets.len(), 6);
    server.signal("TERM").await;
    let (_, log, _) = server.ended().await;
    assert!(log.contains("/api/v1/ws-ticket"), "it does log requests");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
    }
}
