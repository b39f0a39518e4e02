use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::ACCEPT};
use http_body_util::Full;
use tower::Service;

use crate::{
    AssetError, AssetName, AssetSource,
    cache_policy::CachePolicy,
    quality::{Quality, weighted},
    response::{AssetResponse, method_not_allowed, refusal},
};

/// Serves assets over HTTP, as a [`tower::Service`] that never fails.
///
/// It is cheap to clone, takes any request body and does not read it.
///
/// # What a request gets
///
/// | request | response |
/// |---|---|
/// | `GET` or `HEAD` of an asset | 200, or 206, 304, 416 as `Range`, `If-Range`, `If-None-Match` and `If-Modified-Since` ask |
/// | of `/`, or of a path that is no asset, has no file extension and is asked for with `Accept: text/html` (a page that the front end routes) | the same for `index.html` |
/// | of anything else, and of any path that could lead out of the assets | 404 |
/// | another method | 405 with `Allow` |
/// | the source failed; failed for the moment, or took over [`LOOKUP_TIMEOUT`](Self::LOOKUP_TIMEOUT) | 500; 503 |
///
/// `Cache-Control` is `no-cache` for `index.html`, a year and `immutable` for the files in
/// `assets/` whose name carries Vite's hash, five minutes for the rest, and `no-store` for errors.
/// Every asset has a strong `ETag` made from its content. The encoding that `Accept-Encoding`
/// likes best is served where the build made it; nothing is compressed here. Of several ranges in
/// one request none is honoured, and of `If-Range` dates neither (the whole asset is served, as
/// RFC 9110 allows).
///
/// Which paths are not the front end's, such as `/api`, is the router's matter: an unknown one
/// must not end here.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, StatusCode, header};
/// use steadfast_dev_server::{AssetServer, EmbeddedAssets};
/// use tower::ServiceExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let page: (&str, &[u8]) = ("index.html", b"<!doctype html>");
/// let server = AssetServer::new(EmbeddedAssets::new([page])?);
///
/// let request = Request::get("/settings").header(header::ACCEPT, "text/html").body(())?;
/// let response = server.clone().oneshot(request).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
///
/// let response = server.oneshot(Request::get("/assets/gone.js").body(())?).await?;
/// assert_eq!(response.status(), StatusCode::NOT_FOUND);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AssetServer {
    source: Arc<dyn AssetSource>,
}

impl AssetServer {
    /// How long a source may take over one look-up: 10 s.
    pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

    /// A server of what `source` has.
    pub fn new(source: impl AssetSource) -> Self {
        Self {
            source: Arc::new(source),
        }
    }

    /// Answers one request, of which method, path and headers count.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but that the answer is lost.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timers on.
    pub async fn respond(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        let head = *method == Method::HEAD;
        if !head && *method != Method::GET {
            return method_not_allowed();
        }
        let found = tokio::time::timeout(Self::LOOKUP_TIMEOUT, self.find(path, headers));
        let status = match found.await {
            Ok(Ok(Some(found))) => return found.respond(head, headers),
            Ok(Ok(None)) => StatusCode::NOT_FOUND,
            Ok(Err(error)) => {
                let error_chain: &dyn std::error::Error = &error;
                tracing::error!(path, error = error_chain, "asset look-up failed");
                if error.is_transient() {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            }
            Err(_) => {
                tracing::error!(path, "asset look-up timed out");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        refusal(status, head)
    }

    async fn find(
        &self,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Option<AssetResponse>, AssetError> {
        let Some(path) = path.strip_prefix('/') else {
            return Ok(None);
        };
        if path.is_empty() {
            return self.find_index(false).await;
        }
        let page = path.strip_suffix('/');
        let Ok(name) = AssetName::from_url_path(page.unwrap_or(path)) else {
            return Ok(None);
        };
        if page.is_none()
            && let Some(asset) = self.source.find(&name).await?
        {
            return Ok(Some(AssetResponse {
                asset,
                policy: CachePolicy::of(&name),
                by_accept: false,
            }));
        }
        if name.extension().is_none() && accepts_html(headers) {
            return self.find_index(true).await;
        }
        Ok(None)
    }

    async fn find_index(&self, by_accept: bool) -> Result<Option<AssetResponse>, AssetError> {
        let name = AssetName::new("index.html")?;
        let asset = self.source.find(&name).await?;
        Ok(asset.map(|asset| AssetResponse {
            asset,
            policy: CachePolicy::of(&name),
            by_accept,
        }))
    }
}

impl<B> Service<Request<B>> for AssetServer {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        let (parts, _) = request.into_parts();
        Box::pin(async move {
            let path = parts.uri.path();
            Ok(server.respond(&parts.method, path, &parts.headers).await)
        })
    }
}

/// Only a client that names it, as browsers do for a page and not for a script or an image.
fn accepts_html(headers: &HeaderMap) -> bool {
    weighted(headers.get_all(ACCEPT))
        .any(|(media, quality)| media.eq_ignore_ascii_case("text/html") && quality > Quality::ZERO)
}
