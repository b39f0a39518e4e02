use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use steadfast_lifecycle::{LifecycleHandle, ServiceState, Status};
use utoipa::ToSchema;

/// How the service is, part by part.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadinessView {
    /// `running` and `degraded` are ready, the others are not.
    #[schema(value_type = String)]
    status: &'static str,
    services: Vec<ServiceView>,
}

/// How one part of the service is.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceView {
    name: String,
    #[schema(value_type = String)]
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    detail: Option<String>,
}

/// The probes, on both listeners: liveness never looks at a part, readiness at all of them.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(lifecycle: LifecycleHandle) -> Router<S> {
    Router::new()
        .route(
            "/livez",
            get(|| async { ([(header::CACHE_CONTROL, "no-store")], "ok\n") }),
        )
        .route("/readyz", get(ready))
        .with_state(lifecycle)
}

/// The metrics, in the text format of Prometheus.
pub(super) fn metrics(render: impl Fn() -> String + Clone + Send + Sync + 'static) -> Router {
    let answer = move || {
        let text = render();
        async { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
    };
    Router::new().route("/metrics", get(answer))
}

async fn ready(State(lifecycle): State<LifecycleHandle>) -> impl IntoResponse {
    let snapshot = lifecycle.snapshot();
    let status = if snapshot.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let services = snapshot.services.iter().map(|service| ServiceView {
        name: service.name.to_string(),
        state: state_name(service.state),
        since: Timestamp::try_from(service.since).unwrap_or_default(),
        detail: service.detail.as_deref().map(str::to_owned),
    });
    let view = ReadinessView {
        status: status_name(snapshot.status),
        services: services.collect(),
    };
    (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(view),
    )
}

pub(super) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Starting => "starting",
        Status::Running => "running",
        Status::Degraded => "degraded",
        Status::Unhealthy => "unhealthy",
        Status::Draining => "draining",
        Status::Stopping => "stopping",
        Status::Stopped => "stopped",
        _ => "unknown",
    }
}

pub(super) fn state_name(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Pending => "pending",
        ServiceState::Starting => "starting",
        ServiceState::Running => "running",
        ServiceState::Degraded => "degraded",
        ServiceState::Unhealthy => "unhealthy",
        ServiceState::Restarting => "restarting",
        ServiceState::Failed => "failed",
        ServiceState::Skipped => "skipped",
        ServiceState::Stopping => "stopping",
        ServiceState::Stopped => "stopped",
        _ => "unknown",
    }
}
