//! The public behaviour of the production half: built assets over HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod failures;
mod folder;
mod ranges;
mod serving;
mod traversal;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use steadfast_dev_server::{AssetServer, EmbeddedAssets};
use tower::ServiceExt as _;

/// A build as Vite leaves it, with what is copied from its public folder.
const DIST: [(&str, &[u8]); 8] = [
    ("index.html", b"<!doctype html><title>App</title>"),
    ("assets/index-BfX3kQ_2.js", b"console.log('app')"),
    ("assets/index-BfX3kQ_2.js.br", b"br of app"),
    ("assets/index-BfX3kQ_2.js.gz", b"gz of app"),
    ("assets/style-D1a2b3c4.css", b"body{}"),
    ("favicon.svg", b"<svg/>"),
    ("LICENSE", b"do as you please"),
    ("digits.txt", b"0123456789"),
];

fn embedded() -> AssetServer {
    AssetServer::new(EmbeddedAssets::new(DIST).unwrap())
}

async fn send(
    server: &AssetServer,
    method: &str,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> Response<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = server
        .clone()
        .oneshot(request.body(()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

async fn get(server: &AssetServer, path: &str, headers: &[(HeaderName, &str)]) -> Response<Bytes> {
    send(server, "GET", path, headers).await
}

fn header(response: &Response<Bytes>, name: HeaderName) -> Option<&str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}
