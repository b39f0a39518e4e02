use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use serde_json::json;

use crate::{
    client::{Client, PASSWORD, Socket},
    process::Server,
};

#[tokio::test]
async fn of_a_hundred_concurrent_set_ups_one_wins() {
    one_of_a_hundred_sets_up(&Server::start().await).await;
}

pub(crate) async fn one_of_a_hundred_sets_up(server: &Server) {
    let file = server.setup_token_file();
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let token = std::fs::read_to_string(&file).unwrap();
    let nobody = Client::nobody(server);
    assert_eq!(
        nobody.get("/api/v1/setup").await.expect(200),
        json!({"needed": true})
    );

    let mut callers = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (nobody, token) = (nobody.clone(), token.clone());
        callers.spawn(async move {
            let body = json!({"token": token, "username": format!("u{n}"), "password": PASSWORD});
            nobody.post("/api/v1/setup", body).await.status.as_u16()
        });
    }
    let mut statuses = callers.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(
        statuses[1..].iter().all(|status| *status == 409),
        "{statuses:?}"
    );
    assert_eq!(
        nobody.get("/api/v1/setup").await.expect(200),
        json!({"needed": false})
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn wrong_setup_token_is_refused_and_a_restart_makes_a_new_one() {
    let server = Server::start().await;
    let first = std::fs::read_to_string(server.setup_token_file()).unwrap();
    let set_up = |token: &str| json!({"token": token, "username": "root", "password": PASSWORD});
    let nobody = Client::nobody(&server);
    nobody
        .post("/api/v1/setup", set_up("guess"))
        .await
        .expect(403);

    let server = Server::start_in(server.stop().await).await;
    let nobody = Client::nobody(&server);
    nobody
        .post("/api/v1/setup", set_up(&first))
        .await
        .expect(403);
    let second = std::fs::read_to_string(server.setup_token_file()).unwrap();
    let body = nobody
        .post("/api/v1/setup", set_up(&second))
        .await
        .expect(201);
    assert_eq!(body["user"]["role"], "admin");
}

#[tokio::test]
async fn wrong_password_and_unknown_user_get_the_same_answer() {
    let server = Server::start().await;
    Client::admin(&server).await;
    let nobody = Client::nobody(&server);
    let log_in = async |username: &str, password: &str| {
        let body = json!({"username": username, "password": password});
        let body = nobody.post("/api/v1/auth/login", body).await.expect(401);
        (body["type"].clone(), body["detail"].clone())
    };
    assert_eq!(
        log_in("root", "wrong password").await,
        log_in("nosuch", PASSWORD).await
    );
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down_and_logging_in_is_not() {
    let server = Server::start().await;
    Client::admin(&server).await;
    for _ in 0..12 {
        Client::log_in(&server, "root").await;
    }
    let nobody = Client::nobody(&server);
    let log_in = async |password: &str| {
        let body = json!({"username": "root", "password": password});
        nobody.post("/api/v1/auth/login", body).await
    };
    for _ in 0..10 {
        log_in("wrong password").await.expect(401);
    }
    // Also the right one has to wait now, or guessing would go on.
    let refused = log_in(PASSWORD).await;
    assert_eq!(refused.status.as_u16(), 429, "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    nobody
        .post(
            "/api/v1/auth/login",
            json!({"username": "other", "password": PASSWORD}),
        )
        .await
        .expect(401);
}

#[tokio::test]
async fn log_out_ends_the_session() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    ann.get("/api/v1/me").await.expect(200);
    ann.post("/api/v1/auth/logout", json!({})).await.expect(204);
    ann.get("/api/v1/me").await.expect(401);
}

#[tokio::test]
async fn cookie_writes_need_the_csrf_header_and_the_own_origin() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let schedule = json!({"cron": "@daily", "tz": "UTC", "title": "t"});
    ann.without_csrf()
        .post("/api/v1/schedules", schedule.clone())
        .await
        .expect(403);
    let request = ann
        .request(reqwest::Method::POST, "/api/v1/schedules")
        .json(&schedule);
    let foreign = request.header("origin", "https://evil.example");
    crate::client::answer(foreign).await.expect(403);
    let request = ann
        .request(reqwest::Method::POST, "/api/v1/schedules")
        .json(&schedule);
    crate::client::answer(request.header("origin", &server.url))
        .await
        .expect(201);
    ann.without_csrf()
        .get("/api/v1/schedules")
        .await
        .expect(200);
}

#[tokio::test]
async fn token_does_what_its_scopes_allow_and_no_more() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let reader = admin.by_token(&["schedules:read"]).await;
    reader.get("/api/v1/schedules").await.expect(200);
    let schedule = json!({"cron": "@daily", "tz": "UTC", "title": "t"});
    let refused = reader
        .post("/api/v1/schedules", schedule.clone())
        .await
        .expect(403);
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("schedules:write"),
        "{refused}"
    );
    reader.get("/api/v1/notifications").await.expect(403);

    let writer = admin.by_token(&["schedules:write"]).await;
    writer.post("/api/v1/schedules", schedule).await.expect(201);
    writer.get("/api/v1/schedules").await.expect(200);
    // A token makes no tokens and, without its scope, no users.
    writer
        .post(
            "/api/v1/tokens",
            json!({"name": "n", "scopes": ["users:write"]}),
        )
        .await
        .expect(403);
    let user = json!({"username": "eve", "password": PASSWORD, "role": "admin"});
    writer.post("/api/v1/users", user).await.expect(403);
}

#[tokio::test]
async fn revoked_token_and_ended_session_close_what_they_had_opened() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let program = admin.by_token(&["notifications:read"]).await;
    let (mut socket, _) = program.connect().await;
    let ticket = program
        .post("/api/v1/ws-ticket", json!({}))
        .await
        .expect(201);
    let listed = admin.get("/api/v1/tokens").await.expect(200);
    let id = listed["items"][0]["id"].as_str().unwrap();
    admin
        .delete(&format!("/api/v1/tokens/{id}"))
        .await
        .expect(204);
    assert_eq!(
        closed_at_once(&mut socket).await,
        Some(3011),
        "connect again, if you can"
    );
    assert_eq!(program.socket(None).await.err(), Some(401));
    let path = format!("/ws?ticket={}", ticket["ticket"].as_str().unwrap());
    assert_eq!(program.socket_at(&path, None).await.err(), Some(401));

    let (mut socket, _) = admin.connect().await;
    admin
        .post("/api/v1/auth/logout", json!({}))
        .await
        .expect(204);
    assert_eq!(closed_at_once(&mut socket).await, Some(3011));
    assert_eq!(admin.socket(None).await.err(), Some(401));
}

#[tokio::test]
async fn socket_that_was_open_but_said_connect_after_the_revocation_is_closed_too() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let program = admin.by_token(&["notifications:read"]).await;
    let mut socket = program.socket(None).await.unwrap();
    let listed = admin.get("/api/v1/tokens").await.expect(200);
    let id = listed["items"][0]["id"].as_str().unwrap();
    admin
        .delete(&format!("/api/v1/tokens/{id}"))
        .await
        .expect(204);
    socket.command("connect", json!({})).await;
    assert_eq!(socket.close_code().await, Some(3011));
}

#[tokio::test]
async fn name_of_a_token_is_one_line() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    for name in ["", " ", "two\nlines", "nul\0"] {
        let body = json!({"name": name, "scopes": ["schedules:read"]});
        let refused = admin.post("/api/v1/tokens", body).await.expect(422);
        assert_eq!(refused["errors"][0]["pointer"], "/name", "{name:?}");
    }
}

#[tokio::test]
async fn revoked_token_opens_nothing() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let token = admin.by_token(&["schedules:read"]).await;
    let listed = admin.get("/api/v1/tokens").await.expect(200);
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert!(
        listed["items"][0]["token"].is_null(),
        "the secret is shown once"
    );
    admin
        .delete(&format!("/api/v1/tokens/{id}"))
        .await
        .expect(204);
    token.get("/api/v1/schedules").await.expect(401);
    admin
        .delete(&format!("/api/v1/tokens/{id}"))
        .await
        .expect(404);
}

#[tokio::test]
async fn only_administrators_make_users_and_names_are_unique_whatever_their_case() {
    let server = Server::start().await;
    let admin = Client::admin(&server).await;
    let ann = admin.new_user(&server, "ann").await;
    let user = |name: &str| json!({"username": name, "password": PASSWORD, "role": "user"});
    ann.post("/api/v1/users", user("eve")).await.expect(403);
    ann.get("/api/v1/users").await.expect(403);
    admin.post("/api/v1/users", user("ANN")).await.expect(409);
    let refused = admin.post("/api/v1/users", user("a b")).await.expect(422);
    assert_eq!(refused["errors"][0]["pointer"], "/username");
    let page = admin.get("/api/v1/users?limit=1").await.expect(200);
    assert_eq!(page["items"][0]["username"], "root");
    let next = format!(
        "/api/v1/users?limit=1&cursor={}",
        page["next"].as_str().unwrap()
    );
    assert_eq!(
        admin.get(&next).await.expect(200)["items"][0]["username"],
        "ann"
    );
}

/// The code of the close frame, where it comes before the second round of disconnects.
async fn closed_at_once(socket: &mut Socket) -> Option<u16> {
    let closed = tokio::time::timeout(Duration::from_secs(10), socket.close_code()).await;
    closed.expect("the socket is still open")
}
