use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::IntoResponse as _,
    routing::{any, get},
};
use http::{HeaderName, HeaderValue, header};
use steadfast_dev_server::AssetError;
use steadfast_lifecycle::LifecycleHandle;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use utoipa::{
    OpenApi as _,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    Api, MAX_BODY, SESSION_COOKIE, admin, audit, channels, erasure, limits, notifications,
    policies, preferences, privacy, probes,
    problem::{self, Kind, Problem, ProblemBody},
    request_id, schedules, session, setup, tokens, users, web, ws,
};

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the page may load: nothing from elsewhere, nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self'; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Steadfast",
        description = "Scheduled notifications and realtime push, self-hosted.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(ProblemBody)),
    modifiers(&Credentials),
    security(("token" = []), ("session" = []))
)]
struct Documentation;

/// The two kinds of credentials, described.
struct Credentials;

impl utoipa::Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(SESSION_COOKIE)));
        components.add_security_scheme("token", token);
        components.add_security_scheme("session", session);
    }
}

/// The public listener: the API, `/ws`, the probes and the page.
///
/// # Errors
///
/// If the page that was built into the binary is broken.
pub fn router(api: Api) -> Result<Router, AssetError> {
    let (v1, description) = api_v1().split_for_parts();
    let description = description.to_json().unwrap_or_default();
    let v1 = v1
        .route("/api", any(no_such_path))
        .route("/api/", any(no_such_path))
        .route("/api/{*path}", any(no_such_path))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(time_limit))
        .layer(header_layer("cache-control", "no-store"));
    let openapi = move || async { ([(header::CONTENT_TYPE, "application/json")], description) };
    let router = Router::new()
        .merge(v1)
        .route("/ws", get(ws::upgrade))
        .route("/openapi.json", get(openapi))
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(api.limits.clone(), limits::by_address))
        .with_state(api.clone())
        .merge(probes::routes(api.lifecycle.clone()))
        .method_not_allowed_fallback(no_such_method)
        .merge(web::page()?.into_router())
        .layer(CatchPanicLayer::custom(|_| {
            Problem::new(Kind::Internal, "the service failed; its log says why").into_response()
        }))
        .layer(from_fn(problem::render))
        .layer(from_fn(request_id::layer))
        .layer(header_layer(
            "content-security-policy",
            CONTENT_SECURITY_POLICY,
        ))
        .layer(header_layer("x-content-type-options", "nosniff"))
        .layer(header_layer("referrer-policy", "no-referrer"));
    Ok(router)
}

/// The admin listener: the metrics and the probes.
pub fn admin_router(
    lifecycle: LifecycleHandle,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> Router {
    probes::routes(lifecycle).merge(probes::metrics(metrics))
}

/// The description of the API, as it is served at `/openapi.json`.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api_v1().into_openapi()
}

fn api_v1() -> OpenApiRouter<Api> {
    let v1 = OpenApiRouter::new()
        .merge(setup::routes())
        .merge(session::routes())
        .merge(users::routes())
        .merge(tokens::routes())
        .merge(schedules::routes())
        .merge(notifications::routes())
        .merge(preferences::routes())
        .merge(channels::routes())
        .merge(privacy::routes())
        .merge(erasure::routes())
        .merge(policies::routes())
        .merge(admin::routes())
        .merge(audit::routes())
        .merge(ws::routes());
    OpenApiRouter::with_openapi(Documentation::openapi()).nest("/api/v1", v1)
}

async fn no_such_path() -> Problem {
    Problem::new(
        Kind::NotFound,
        "there is nothing at this path; see /openapi.json",
    )
}

async fn no_such_method() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "this path has no such method; see /openapi.json",
    )
}

async fn time_limit(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Kind::Unavailable, "the request took too long").into_response(),
    }
}

fn header_layer(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}
