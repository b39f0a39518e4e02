use std::time::Duration;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::request_id::RequestId;

/// An answer that is not a success, as RFC 9457 has it.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Which field, as a JSON pointer (RFC 6901) into the body, or `?name` for the query.
    pub pointer: String,
    /// What is wrong with it and what would be right.
    pub detail: String,
}

/// The body of a [`Problem`]'s response.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ProblemBody {
    /// Which kind of problem, for programs.
    #[serde(rename = "type")]
    kind: String,
    /// Which kind of problem, for people.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: String,
    /// Which request, as in its log lines and its `X-Request-Id`.
    instance: String,
    /// The fields that are wrong, where it is fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// The kinds of problems: each has one `type`, title and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is not what its content type says, or is no valid HTTP for us.
    Malformed,
    /// Values break a rule; `errors` says which.
    Validation,
    /// No credential, or one that is unknown or has expired.
    Unauthenticated,
    /// The set-up token is wrong or has expired.
    SetupToken,
    /// Known, but not allowed.
    Forbidden,
    /// A cookie's write without the right CSRF header, or from another origin.
    Csrf,
    /// There is no such thing, or it is somebody else's.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// It clashes with what is there.
    Conflict,
    /// The same idempotency key came with another body.
    IdempotencyMismatch,
    /// The request with the same idempotency key is still at work.
    InFlight,
    /// `If-Match` names another version.
    VersionMismatch,
    /// The body came too slowly.
    RequestTimeout,
    /// The body is too large.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// This path is for WebSockets.
    UpgradeRequired,
    /// Too many requests.
    RateLimited,
    /// A part of the service is not there at the moment.
    Unavailable,
    /// Our fault.
    Internal,
}

impl Kind {
    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Malformed => ("malformed", "Malformed request", StatusCode::BAD_REQUEST),
            Self::Validation => (
                "validation",
                "Values break a rule",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::Unauthenticated => (
                "unauthenticated",
                "Not authenticated",
                StatusCode::UNAUTHORIZED,
            ),
            Self::SetupToken => ("setup-token", "Set-up token refused", StatusCode::FORBIDDEN),
            Self::Forbidden => ("forbidden", "Not allowed", StatusCode::FORBIDDEN),
            Self::Csrf => ("csrf", "Cross-site request refused", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", "Not found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                "Method not allowed",
                StatusCode::METHOD_NOT_ALLOWED,
            ),
            Self::Conflict => ("conflict", "Conflict", StatusCode::CONFLICT),
            Self::IdempotencyMismatch => (
                "idempotency-mismatch",
                "Idempotency key used for another request",
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            Self::InFlight => ("in-flight", "Request still at work", StatusCode::CONFLICT),
            Self::VersionMismatch => (
                "version-mismatch",
                "Version is not current",
                StatusCode::PRECONDITION_FAILED,
            ),
            Self::RequestTimeout => (
                "request-timeout",
                "Request too slow",
                StatusCode::REQUEST_TIMEOUT,
            ),
            Self::UpgradeRequired => (
                "upgrade-required",
                "WebSocket only",
                StatusCode::UPGRADE_REQUIRED,
            ),
            Self::TooLarge => ("too-large", "Body too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                "Content type not supported",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            Self::RateLimited => (
                "rate-limited",
                "Too many requests",
                StatusCode::TOO_MANY_REQUESTS,
            ),
            Self::Unavailable => (
                "unavailable",
                "Temporarily unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            Self::Internal => (
                "internal",
                "Internal error",
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
        }
    }
}

impl Problem {
    /// A problem of that kind; `detail` says what happened this time.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Fields that break a rule.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let names: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        let mut problem = Self::new(
            Kind::Validation,
            format!("see errors: {}", names.join(", ")),
        );
        problem.errors = errors;
        problem
    }

    /// One field that breaks a rule.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }

    /// Says of its fields that they are parameters of the query, not members of the body.
    #[must_use]
    pub(super) fn in_query(mut self) -> Self {
        for error in &mut self.errors {
            error.pointer = error.pointer.replacen('/', "?", 1);
        }
        self
    }

    /// A failure that is ours: its cause goes to the log, not to the client.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(%error, causes = causes(error), "request failed");
        Self::new(Kind::Internal, "the service failed; its log says why")
    }

    /// A part of the service that is not there at the moment.
    pub fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(%error, causes = causes(error), "request failed for now");
        if let Some(open) = crate::adapters::refusal(error) {
            let detail = "the database keeps failing and is given a rest; try again later";
            let problem = Self::new(Kind::Unavailable, detail);
            return problem.retry_after(open.retry_after.unwrap_or(Duration::from_secs(1)));
        }
        Self::new(
            Kind::Unavailable,
            "a part of the service is not available; try again",
        )
        .retry_after(Duration::from_secs(1))
    }

    /// Tells the client when to try again, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

/// The chain of causes below an error, in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

impl IntoResponse for Problem {
    /// A response that carries the problem; [`render`] writes its body, since only that layer
    /// knows which request it is.
    fn into_response(self) -> Response {
        let mut response = self.kind.parts().2.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The layer that writes the bodies of problems.
///
/// # Cancel safety
///
/// Dropped with the request.
pub(super) async fn render(request: Request, next: Next) -> Response {
    let id = request
        .extensions()
        .get::<RequestId>()
        .copied()
        .unwrap_or_default();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let (kind, title, status) = problem.kind.parts();
    let body = ProblemBody {
        kind: format!("urn:steadfast:problem:{kind}"),
        title,
        status: status.as_u16(),
        detail: problem.detail,
        instance: id.urn(),
        errors: problem.errors,
    };
    let text = serde_json::to_vec(&body).unwrap_or_default();
    let mut rendered = Response::new(text.into());
    *rendered.status_mut() = status;
    *rendered.headers_mut() = std::mem::take(response.headers_mut());
    let headers = rendered.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(after) = problem.retry_after {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if problem.kind == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    rendered
}
