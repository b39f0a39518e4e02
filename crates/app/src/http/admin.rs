use std::time::SystemTime;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use steadfast_lifecycle::ServiceSnapshot;
use steadfast_sync::BreakerState;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    probes::{state_name, status_name},
    problem::{Kind, Problem, ProblemBody},
};
use crate::{
    accounts::{Role, Scope},
    adapters::{PoolSnapshot, leases::HeldLease},
    alerts::Alert,
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(health))
}

/// How the whole system is at this moment.
#[derive(Debug, Serialize, ToSchema)]
struct HealthView {
    /// As `/readyz` says it.
    #[schema(value_type = String)]
    status: &'static str,
    services: Vec<ServiceView>,
    database: DatabaseView,
    /// Those that this process holds, the oldest first.
    leases: Vec<LeaseView>,
    alerts: AlertsView,
}

/// How one part is, and for how long it has been so.
#[derive(Debug, Serialize, ToSchema)]
struct ServiceView {
    name: String,
    #[schema(value_type = String)]
    state: &'static str,
    /// Whether nothing works without it.
    required: bool,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// How long it has been in this state.
    age_seconds: f64,
    /// What is wrong.
    detail: Option<String>,
    /// How often it failed in a row; a probe that finds it well ends the row.
    failures_in_a_row: u32,
    /// The last failure, also when it works again.
    last_error: Option<String>,
}

/// The database and the ways to it.
#[derive(Debug, Serialize, ToSchema)]
struct DatabaseView {
    #[schema(value_type = String)]
    kind: &'static str,
    /// Where its initialisation stands.
    status: String,
    /// How often it was opened.
    generation: u64,
    pools: Vec<PoolView>,
}

/// A pool of connections, and the breaker in front of it.
#[derive(Debug, Serialize, ToSchema)]
struct PoolView {
    name: String,
    /// Connections that are open.
    open: u32,
    /// Those of them that nobody uses.
    idle: u32,
    /// Those of them that somebody uses.
    in_use: u32,
    /// How many may be open.
    max: u32,
    breaker: BreakerView,
}

/// A circuit breaker.
#[derive(Debug, Serialize, ToSchema)]
struct BreakerView {
    /// `closed` lets calls through, `open` refuses them, `half_open` tries one.
    #[schema(value_type = String)]
    state: &'static str,
    /// How long it has been in this state.
    age_seconds: f64,
    /// In how many seconds a call is tried again.
    retry_after_seconds: Option<f64>,
    /// How many calls failed in a row when it last was closed.
    failures_in_a_row: u32,
    /// How often it has opened.
    opened: u64,
    /// How many calls it has refused.
    refused: u64,
}

/// A lease: what only one process at a time does.
#[derive(Debug, Serialize, ToSchema)]
struct LeaseView {
    name: String,
    /// Who holds it.
    owner: String,
    /// Grows with each grant of this name.
    fence: u64,
    /// How long it has been held.
    age_seconds: f64,
    /// For how long it holds if it is not renewed.
    remaining_seconds: f64,
}

/// What is wrong, and what was.
#[derive(Debug, Serialize, ToSchema)]
struct AlertsView {
    /// Those that are active, the longest first.
    active: Vec<Alert>,
    /// Those that are over, the latest first.
    recent: Vec<Alert>,
}

/// How each part of the system is and for how long, and what is or was wrong; for operators,
/// auditors and administrators.
#[utoipa::path(
    get, path = "/admin/health", operation_id = "systemHealth", tag = "admin",
    responses(
        (status = 200, body = HealthView),
        (status = 403, description = "the role or the scope does not allow it", body = ProblemBody),
    )
)]
async fn health(State(api): State<Api>, caller: Caller) -> Result<axum::Json<HealthView>, Problem> {
    may_look(&caller)?;
    let snapshot = api.lifecycle.snapshot();
    let now = api.clock.wall();
    let status = api.database.borrow().clone();
    Ok(axum::Json(HealthView {
        status: status_name(snapshot.status),
        services: snapshot
            .services
            .iter()
            .map(|service| ServiceView::new(service, now))
            .collect(),
        database: DatabaseView {
            kind: api.database_kind,
            status: status.to_string(),
            generation: status.generation(),
            pools: api
                .pools
                .iter()
                .map(|pool| PoolView::new(pool.snapshot()))
                .collect(),
        },
        leases: api.leases.held().iter().map(LeaseView::new).collect(),
        alerts: AlertsView {
            active: api.alerts.active(),
            recent: api.alerts.recent(),
        },
    }))
}

fn may_look(caller: &Caller) -> Result<(), Problem> {
    caller.require(Scope::AdminRead)?;
    let role = caller.0.user.role;
    if role.is_operator() || role == Role::Auditor {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Forbidden,
        "only operators, auditors and administrators see this",
    ))
}

impl ServiceView {
    fn new(service: &ServiceSnapshot, now: SystemTime) -> Self {
        let age = now.duration_since(service.since).unwrap_or_default();
        Self {
            name: service.name.to_string(),
            state: state_name(service.state),
            required: service.required,
            since: Timestamp::try_from(service.since).unwrap_or_default(),
            age_seconds: age.as_secs_f64(),
            detail: service.detail.as_deref().map(str::to_owned),
            failures_in_a_row: service.failures,
            last_error: service.last_error.as_deref().map(str::to_owned),
        }
    }
}

impl LeaseView {
    fn new(lease: &HeldLease) -> Self {
        Self {
            name: lease.grant.key.to_string(),
            owner: lease.grant.owner.to_string(),
            fence: lease.grant.fence,
            age_seconds: lease.age.as_secs_f64(),
            remaining_seconds: lease.remaining.as_secs_f64(),
        }
    }
}

impl PoolView {
    fn new(pool: PoolSnapshot) -> Self {
        let breaker = pool.breaker;
        Self {
            name: pool.name,
            open: pool.open,
            idle: pool.idle,
            in_use: pool.open - pool.idle,
            max: pool.max,
            breaker: BreakerView {
                state: match breaker.state {
                    BreakerState::Closed => "closed",
                    BreakerState::Open => "open",
                    BreakerState::HalfOpen => "half_open",
                    BreakerState::Isolated => "isolated",
                },
                age_seconds: breaker.state_age.as_secs_f64(),
                retry_after_seconds: breaker.retry_after.map(|after| after.as_secs_f64()),
                failures_in_a_row: breaker.consecutive_failures,
                opened: breaker.opened,
                refused: breaker.rejected,
            },
        }
    }
}
