use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api_errors::check,
    client::{Answer, Client, answer},
    process::Server,
};

const PATH: &str = "/api/v1/preferences";

fn full() -> Value {
    json!({
        "tz": "Europe/Berlin",
        "quiet_hours": {"from": "22:00", "to": "07:00", "days": ["mon", "sun"]},
        "digest": {"at": ["08:00", "18:30"]},
        "channels": ["ws", "webhook"],
    })
}

async fn send(client: &Client, method: Method, if_match: Option<&str>, body: &Value) -> Answer {
    let mut request = client.request(method, PATH).json(body);
    if let Some(if_match) = if_match {
        request = request.header("if-match", if_match);
    }
    answer(request).await
}

#[tokio::test]
async fn preferences_are_the_default_until_they_are_set_and_each_has_their_own() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let bob = ann.new_user(&server, "bob").await;
    let unset = json!({
        "tz": "UTC", "quiet_hours": null, "digest": null, "channels": ["ws"],
        "version": 1, "updated_at": null,
    });
    let first = ann.get(PATH).await;
    assert_eq!(first.headers["etag"], "\"1\"");
    assert_eq!(first.expect(200), unset);

    let set = send(&ann, Method::PUT, Some("\"1\""), &full()).await;
    assert_eq!(set.headers["etag"], "\"2\"");
    let set = set.expect(200);
    for field in ["tz", "quiet_hours", "digest", "channels"] {
        assert_eq!(set[field], full()[field]);
    }
    assert!(set["updated_at"].is_string() && set["version"] == 2);
    assert_eq!(ann.get(PATH).await.expect(200), set);
    assert_eq!(bob.get(PATH).await.expect(200), unset);

    let loud = json!({"quiet_hours": null});
    let loud = send(&ann, Method::PATCH, None, &loud).await.expect(200);
    assert_eq!(
        (&loud["quiet_hours"], &loud["digest"]),
        (&json!(null), &set["digest"])
    );
    let bare = send(&ann, Method::PUT, None, &json!({})).await.expect(200);
    assert_eq!((&bare["tz"], &bare["version"]), (&json!("UTC"), &json!(4)));
}

#[tokio::test]
async fn stale_preferences_are_412_and_nothing_changes() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    send(&ann, Method::PUT, None, &full()).await.expect(200);
    for method in [Method::PUT, Method::PATCH] {
        for stale in ["\"1\"", "\"3\"", "\"0\"", "W/\"2\"", "\"two\""] {
            let refused = send(&ann, method.clone(), Some(stale), &json!({"tz": "UTC"})).await;
            check(stale, &refused, 412, None);
        }
    }
    let kept = ann.get(PATH).await.expect(200);
    assert_eq!(
        (&kept["tz"], &kept["version"]),
        (&json!("Europe/Berlin"), &json!(2))
    );
    let any = send(&ann, Method::PATCH, Some("*"), &json!({"tz": "UTC"})).await;
    assert_eq!(any.expect(200)["version"], 3);
}

#[tokio::test]
async fn scopes_and_csrf_guard_preferences() {
    let server = Server::start().await;
    let ann = Client::admin(&server).await;
    let reader = ann.by_token(&["notifications:read"]).await;
    reader.get(PATH).await.expect(200);
    let refused = send(&reader, Method::PUT, None, &full()).await;
    check("a reader", &refused, 403, None);
    let other = ann.by_token(&["schedules:write"]).await;
    check("another scope", &other.get(PATH).await, 403, None);
    let nobody = Client::nobody(&server);
    check("nobody", &nobody.get(PATH).await, 401, None);
    let forged = send(&ann.without_csrf(), Method::PUT, None, &full()).await;
    check("no CSRF token", &forged, 403, None);
    assert_eq!(ann.get(PATH).await.expect(200)["version"], 1);
}
