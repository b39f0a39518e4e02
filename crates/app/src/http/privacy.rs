use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use steadfast_privacy::{ComplianceReport, Operation, RetentionPolicy, Run, RunId};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    extract::{Json, Query},
    page::{PageView, page_limit},
    problem::{Kind, Problem, ProblemBody},
};
use crate::{
    accounts::{Role, Scope},
    adapters::privacy::key,
};

/// When to ask again while privacy is down: nobody knows when it will be up.
const DOWN_RETRY: Duration = Duration::from_secs(30);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(runs, run))
        .routes(routes!(latest_report))
        .routes(routes!(policies))
}

/// What to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RunRequest {
    operation: Operation,
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RunsQuery {
    /// Items of the page, 1 to 200; 50 where nothing is said.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<RunId>,
    /// Only those of one operation.
    operation: Option<Operation>,
}

/// What was run, newest first, with the outcome of each policy.
#[utoipa::path(
    get, path = "/privacy/runs", operation_id = "listPrivacyRuns", tag = "privacy", params(RunsQuery),
    responses((status = 200, body = PageView<Run>), (status = 403, body = ProblemBody))
)]
async fn runs(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<RunsQuery>,
) -> Result<axum::Json<PageView<Run>>, Problem> {
    may_read(&caller)?;
    is_up(&api)?;
    let limit = page_limit(query.limit)?;
    let runs = api
        .privacy
        .runs(query.operation, query.cursor, limit + 1)
        .await?;
    Ok(axum::Json(PageView::cut(runs, limit, |run| {
        run.id.to_string()
    })))
}

/// Runs an operation now, by the same way as its schedule; for administrators.
#[utoipa::path(
    post, path = "/privacy/runs", operation_id = "runPrivacyOperation", tag = "privacy", request_body = RunRequest,
    responses(
        (status = 202, description = "it is in the list of runs as soon as it begins"),
        (status = 403, body = ProblemBody),
        (status = 503, description = "the privacy scheduler is not up", body = ProblemBody),
    )
)]
async fn run(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<RunRequest>,
) -> Result<StatusCode, Problem> {
    caller.require_role(Role::Admin, Scope::PrivacyWrite)?;
    is_up(&api)?;
    let asked = api.privacy_jobs.run_now(&key(request.operation)).await;
    asked.map_err(|error| Problem::unavailable(&error))?;
    Ok(StatusCode::ACCEPTED)
}

/// The figures of the last compliance run.
#[utoipa::path(
    get, path = "/privacy/reports/latest", operation_id = "latestPrivacyReport", tag = "privacy",
    responses(
        (status = 200, body = ComplianceReport),
        (status = 404, description = "there was none yet", body = ProblemBody),
    )
)]
async fn latest_report(
    State(api): State<Api>,
    caller: Caller,
) -> Result<axum::Json<ComplianceReport>, Problem> {
    may_read(&caller)?;
    is_up(&api)?;
    let report = api.privacy.latest_report().await?;
    report
        .map(axum::Json)
        .ok_or_else(|| Problem::new(Kind::NotFound, "no compliance run has succeeded yet"))
}

/// What is kept for how long.
#[utoipa::path(
    get, path = "/privacy/policies", operation_id = "listPrivacyPolicies", tag = "privacy",
    responses((status = 200, body = Vec<RetentionPolicy>), (status = 403, body = ProblemBody))
)]
async fn policies(
    State(api): State<Api>,
    caller: Caller,
) -> Result<axum::Json<Vec<RetentionPolicy>>, Problem> {
    may_read(&caller)?;
    Ok(axum::Json(api.privacy.policies().to_vec()))
}

/// Privacy may be down while the rest of the service works.
fn is_up(api: &Api) -> Result<(), Problem> {
    let snapshot = api.lifecycle.snapshot();
    match snapshot.service("privacy") {
        Some(privacy) if privacy.state.is_up() => Ok(()),
        _ => Err(Problem::new(
            Kind::Unavailable,
            "the privacy service is down; /api/v1/admin/health says why",
        )
        .retry_after(DOWN_RETRY)),
    }
}

/// Administrators and auditors see what is done about privacy.
fn may_read(caller: &Caller) -> Result<(), Problem> {
    caller.require(Scope::PrivacyWrite)?;
    if matches!(caller.0.user.role, Role::Admin | Role::Auditor) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Forbidden,
        "only administrators and auditors see this",
    ))
}
