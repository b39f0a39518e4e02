use std::{future, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{StatusCode, header};
use steadfast_clock::{Clock as _, SystemClock};
use steadfast_dev_server::{
    Asset, AssetError, AssetName, AssetServer, AssetSource, MockAssetSource,
};

use crate::{get, header as field, send};

fn failing(transient: bool) -> AssetServer {
    let mut source = MockAssetSource::new();
    source.expect_find().returning(move |name| {
        Err(AssetError::Read {
            name: name.to_string(),
            transient,
            source: Box::new(io::Error::other("the disk is on fire")),
        })
    });
    AssetServer::new(source)
}

#[tokio::test(start_paused = true)]
async fn source_that_fails_is_a_500_that_tells_nothing() {
    let response = get(&failing(false), "/app.js", &[]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(field(&response, header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(response.body(), "Internal Server Error");
}

#[tokio::test(start_paused = true)]
async fn source_that_fails_for_the_moment_is_a_503_to_be_tried_again() {
    let response = get(&failing(true), "/app.js", &[]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(field(&response, header::RETRY_AFTER), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn failure_is_not_taken_for_absence() {
    let html = [(header::ACCEPT, "text/html")];
    let response = get(&failing(false), "/settings", &html).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn source_that_hangs_is_a_503_after_the_timeout() {
    #[derive(Debug)]
    struct Hanging;

    #[async_trait]
    impl AssetSource for Hanging {
        async fn find(&self, _: &AssetName) -> Result<Option<Arc<Asset>>, AssetError> {
            future::pending().await
        }
    }

    let begun = SystemClock.monotonic();
    let response = get(&AssetServer::new(Hanging), "/app.js", &[]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let waited = SystemClock.monotonic() - begun;
    assert!(
        waited < AssetServer::LOOKUP_TIMEOUT + Duration::from_millis(10),
        "{waited:?}"
    );
}

#[tokio::test]
async fn source_is_not_asked_for_what_cannot_be_there() {
    let mut source = MockAssetSource::new();
    source.expect_find().never();
    let server = AssetServer::new(source);
    for path in ["/../x", "/%2e%2e/x", "/a%5cb", "/%00", "//x", "/.env"] {
        let response = get(&server, path, &[(header::ACCEPT, "text/html")]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let response = send(&server, "POST", "/index.html", &[]).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}
