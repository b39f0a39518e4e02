use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use steadfast_privacy::{ComplianceReport, Operation, Run, RunId, Trigger};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    extract::{Json, Path, Query},
    page::{PageView, page_limit},
    problem::{Kind, Problem, ProblemBody},
    request_info::RequestInfo,
};
use crate::{
    accounts::{Role, Scope},
    audit::AuditAction,
};

/// When to ask again while privacy is down: nobody knows when it will be up.
const DOWN_RETRY: Duration = Duration::from_secs(30);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(runs, run))
        .routes(routes!(get))
        .routes(routes!(latest_report))
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

/// A run that was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct RunAsked {
    /// The run's id; it is in the list of runs as soon as it begins.
    id: RunId,
}

/// One run.
#[utoipa::path(
    get, path = "/privacy/runs/{id}", operation_id = "getPrivacyRun", tag = "privacy", params(("id" = RunId, Path)),
    responses(
        (status = 200, body = Run),
        (status = 404, description = "there is none, or it has not begun yet", body = ProblemBody),
    )
)]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<RunId>,
) -> Result<axum::Json<Run>, Problem> {
    may_read(&caller)?;
    is_up(&api)?;
    let run = api.privacy.find_run(id).await?;
    run.map(axum::Json)
        .ok_or_else(|| Problem::new(Kind::NotFound, "there is no such run, or it has not begun"))
}

/// Runs an operation now, by the same way as its schedule; for administrators. While another run
/// of the operation is at work it is stored as skipped.
#[utoipa::path(
    post, path = "/privacy/runs", operation_id = "runPrivacyOperation", tag = "privacy", request_body = RunRequest,
    responses(
        (status = 202, description = "it is in the list of runs as soon as it begins", body = RunAsked),
        (status = 403, body = ProblemBody),
        (status = 503, description = "privacy is not up", body = ProblemBody),
    )
)]
async fn run(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Json(request): Json<RunRequest>,
) -> Result<Response, Problem> {
    caller.require_role(Role::Admin, Scope::PrivacyWrite)?;
    is_up(&api)?;
    let RunRequest { operation } = request;
    let target = Some(operation.name().to_owned());
    api.note(info, &caller.0.user, AuditAction::RunPrivacy, target)
        .await;
    let id = api.privacy.new_id();
    let (privacy, stop) = (api.privacy.clone(), api.stop.clone());
    api.tasks.spawn(async move {
        let run = privacy.run_as(id, operation, Trigger::Api);
        let mut run = std::pin::pin!(run);
        let ended = tokio::select! {
            ended = &mut run => ended,
            () = stop.cancelled() => {
                privacy.interrupt();
                run.await
            }
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "a privacy operation failed");
        }
    });
    let location = format!("/api/v1/privacy/runs/{id}");
    let answer = axum::Json(RunAsked { id });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], answer).into_response())
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
pub(super) fn may_read(caller: &Caller) -> Result<(), Problem> {
    caller.require(Scope::PrivacyWrite)?;
    if matches!(caller.0.user.role, Role::Admin | Role::Auditor) {
        return Ok(());
    }
    Err(Problem::new(
        Kind::Forbidden,
        "only administrators and auditors see this",
    ))
}
