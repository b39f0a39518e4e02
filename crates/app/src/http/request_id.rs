use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderValue, Method};
use tracing::Instrument as _;
use uuid::Uuid;

/// Which request it is: in its log lines, its `X-Request-Id` and its problems' `instance`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestId(Uuid);

impl RequestId {
    /// The id itself.
    pub(super) fn uuid(self) -> Uuid {
        self.0
    }

    /// The id as a URN (RFC 9562).
    #[must_use]
    pub(super) fn urn(self) -> String {
        self.0.urn().to_string()
    }
}

/// The layer that gives each request its id and its log span, and counts it.
///
/// # Cancel safety
///
/// Dropped with the request, which is then not counted.
pub(super) async fn layer(mut request: Request, next: Next) -> Response {
    let id = RequestId(Uuid::new_v4());
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", id = %id.0, %method, path = request.uri().path());
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.in_scope(|| tracing::debug!(status, "answered"));
    metrics::counter!(
        "steadfast_http_requests_total",
        "method" => method_label(&method),
        "route" => route,
        "status" => status.to_string()
    )
    .increment(1);
    if let Ok(value) = HeaderValue::from_str(&id.0.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The method, or `other`: anybody can make methods up, and each label is kept for ever.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
