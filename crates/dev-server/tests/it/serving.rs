use http::{StatusCode, header};
use steadfast_dev_server::{AssetServer, EmbeddedAssets};

use crate::{embedded, get, header as field, send};

const HTML: (header::HeaderName, &str) =
    (header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
const SCRIPT: &str = "/assets/index-BfX3kQ_2.js";

#[tokio::test]
async fn caching_follows_from_the_name() {
    let server = embedded();
    for (path, policy) in [
        ("/", "no-cache"),
        ("/index.html", "no-cache"),
        (SCRIPT, "public, max-age=31536000, immutable"),
        ("/favicon.svg", "public, max-age=300"),
        ("/LICENSE", "public, max-age=300"),
    ] {
        let response = get(&server, path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(
            field(&response, header::CACHE_CONTROL),
            Some(policy),
            "{path}"
        );
        assert!(field(&response, header::ETAG).is_some(), "{path}");
        assert_eq!(field(&response, header::LAST_MODIFIED), None, "{path}");
        let nosniff = field(&response, header::X_CONTENT_TYPE_OPTIONS);
        assert_eq!(nosniff, Some("nosniff"), "{path}");
    }
}

#[tokio::test]
async fn page_is_served_for_the_front_ends_own_paths() {
    let server = embedded();
    for path in ["/settings", "/users/42", "/settings/", "/a%20b?x=1.js"] {
        let response = get(&server, path, &[HTML]).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(
            response.body(),
            "<!doctype html><title>App</title>",
            "{path}"
        );
        assert_eq!(field(&response, header::CACHE_CONTROL), Some("no-cache"));
        assert_eq!(field(&response, header::VARY), Some("accept"));
    }
    let head = send(&server, "HEAD", "/settings", &[HTML]).await;
    assert_eq!(head.status(), StatusCode::OK);
}

#[tokio::test]
async fn missing_asset_is_404_and_never_the_page() {
    let server = embedded();
    for (path, accept) in [
        ("/assets/index-00000000.js", Some("text/html")),
        ("/gone.png", Some("text/html")),
        ("/users/john.doe", Some("text/html")),
        ("/settings", Some("*/*")),
        ("/settings", Some("text/html;q=0, */*")),
        ("/settings", Some("application/json")),
        ("/settings", None),
        ("/index.html/", Some("text/html")),
        ("/../index.html", Some("text/html")),
    ] {
        let accept: Vec<_> = accept
            .map(|accept| (header::ACCEPT, accept))
            .into_iter()
            .collect();
        let response = get(&server, path, &accept).await;
        assert_eq!(
            response.status(),
            StatusCode::NOT_FOUND,
            "{path} {accept:?}"
        );
        assert_eq!(response.body(), "Not Found");
        assert_eq!(field(&response, header::CACHE_CONTROL), Some("no-store"));
        let nosniff = field(&response, header::X_CONTENT_TYPE_OPTIONS);
        assert_eq!(nosniff, Some("nosniff"));
    }
}

#[tokio::test]
async fn build_without_a_page_has_no_fallback() {
    let file: (&str, &[u8]) = ("a.txt", b"text");
    let server = AssetServer::new(EmbeddedAssets::new([file]).unwrap());
    for path in ["/", "/settings"] {
        let response = get(&server, path, &[HTML]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_what_is_allowed() {
    let server = embedded();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let response = send(&server, method, "/", &[HTML]).await;
        assert_eq!(
            response.status(),
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}"
        );
        assert_eq!(field(&response, header::ALLOW), Some("GET, HEAD"));
    }
}

#[tokio::test]
async fn head_tells_of_the_same_response_without_its_body() {
    let server = embedded();
    for (path, headers) in [
        (SCRIPT, vec![(header::ACCEPT_ENCODING, "br")]),
        ("/digits.txt", vec![]),
        ("/gone", vec![]),
        ("/", vec![HTML]),
    ] {
        let get = get(&server, path, &headers).await;
        let head = send(&server, "HEAD", path, &headers).await;
        assert_eq!(head.status(), get.status(), "{path}");
        assert_eq!(head.headers(), get.headers(), "{path}");
        assert!(head.body().is_empty(), "{path}");
        let len = get.body().len().to_string();
        assert_eq!(field(&get, header::CONTENT_LENGTH), Some(len.as_str()));
    }
    let range = [(header::RANGE, "bytes=0-1")];
    let head = send(&server, "HEAD", "/digits.txt", &range).await;
    assert_eq!(head.status(), StatusCode::OK);
}

#[tokio::test]
async fn encoding_is_the_one_the_client_likes_best() {
    let server = embedded();
    let mut tags = Vec::new();
    for (accept, encoding, body) in [
        ("gzip, deflate, br", Some("br"), "br of app"),
        ("br;q=0.1, gzip", Some("gzip"), "gz of app"),
        ("identity", None, "console.log('app')"),
    ] {
        let response = get(&server, SCRIPT, &[(header::ACCEPT_ENCODING, accept)]).await;
        assert_eq!(field(&response, header::CONTENT_ENCODING), encoding);
        assert_eq!(response.body(), body);
        let content_type = field(&response, header::CONTENT_TYPE);
        assert_eq!(content_type, Some("text/javascript; charset=utf-8"));
        assert_eq!(field(&response, header::VARY), Some("accept-encoding"));
        tags.push(field(&response, header::ETAG).unwrap().to_owned());
    }
    tags.dedup();
    assert_eq!(tags.len(), 3, "each encoding has a tag of its own");

    let plain = get(&server, "/favicon.svg", &[(header::ACCEPT_ENCODING, "br")]).await;
    assert_eq!(field(&plain, header::CONTENT_ENCODING), None);
    assert_eq!(field(&plain, header::VARY), None);
}

#[tokio::test]
async fn known_tag_is_not_modified() {
    let server = embedded();
    let first = get(&server, "/favicon.svg", &[]).await;
    let tag = field(&first, header::ETAG).unwrap();
    assert!(
        tag.starts_with('"') && tag.ends_with('"'),
        "{tag} is strong"
    );
    for (known, status) in [
        (tag.to_owned(), StatusCode::NOT_MODIFIED),
        (format!("W/{tag}"), StatusCode::NOT_MODIFIED),
        (format!("\"a,b\" , {tag}"), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
        (tag.trim_matches('"').to_owned(), StatusCode::OK),
    ] {
        for method in ["GET", "HEAD"] {
            let headers = [(header::IF_NONE_MATCH, known.as_str())];
            let response = send(&server, method, "/favicon.svg", &headers).await;
            assert_eq!(response.status(), status, "{method} {known}");
            assert_eq!(field(&response, header::ETAG), Some(tag));
            let policy = field(&response, header::CACHE_CONTROL);
            assert_eq!(policy, Some("public, max-age=300"));
            if status == StatusCode::NOT_MODIFIED {
                assert!(response.body().is_empty());
                assert_eq!(field(&response, header::CONTENT_LENGTH), None);
            }
        }
    }
}

#[tokio::test]
async fn router_sends_what_no_route_takes_to_the_assets() {
    use axum::{Router, body::Body, http::Request, routing::get};
    use tower::ServiceExt as _;
    let app: Router = Router::new()
        .route("/api/me", get(async || "me"))
        .merge(embedded().into_router());
    for (path, status) in [
        ("/api/me", StatusCode::OK),
        (SCRIPT, StatusCode::OK),
        ("/gone.js", StatusCode::NOT_FOUND),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
}
