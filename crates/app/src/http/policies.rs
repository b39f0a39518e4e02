use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use serde::Serialize;
use steadfast_privacy::{PolicyPatch, Records, RetentionPolicy};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    etag::{etag, expected_version},
    extract::{Json, Path},
    privacy::may_read,
    problem::{Kind, Problem, ProblemBody},
    request_info::RequestInfo,
};
use crate::accounts::{Role, Scope};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, update))
}

/// Every retention policy.
#[derive(Debug, Serialize, ToSchema)]
struct PoliciesView {
    items: Vec<RetentionPolicy>,
    /// Always null: there is one page.
    next: Option<String>,
}

/// What is kept for how long.
#[utoipa::path(
    get, path = "/privacy/policies", operation_id = "listPrivacyPolicies", tag = "privacy",
    responses((status = 200, body = PoliciesView), (status = 403, body = ProblemBody))
)]
async fn list(State(api): State<Api>, caller: Caller) -> Result<axum::Json<PoliciesView>, Problem> {
    may_read(&caller)?;
    let items = api.privacy.policies().await?;
    Ok(axum::Json(PoliciesView { items, next: None }))
}

/// One retention policy, by the records that it is about; its version is the `ETag`.
#[utoipa::path(
    get, path = "/privacy/policies/{records}", operation_id = "getPrivacyPolicy", tag = "privacy",
    params(("records" = Records, Path)),
    responses((status = 200, body = RetentionPolicy), (status = 404, body = ProblemBody))
)]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(records): Path<String>,
) -> Result<Response, Problem> {
    may_read(&caller)?;
    let policy = api.privacy.policy(named(&records)?).await?;
    policy.map(view).ok_or_else(no_such_policy)
}

/// Changes the fields that the body names, for administrators; `If-Match: "<version>"` refuses if
/// it was changed since. A cleanup at work goes by it from its next batch on.
#[utoipa::path(
    patch, path = "/privacy/policies/{records}", operation_id = "updatePrivacyPolicy", tag = "privacy", request_body = PolicyPatch,
    params(("records" = Records, Path), ("if-match" = Option<String>, Header)),
    responses(
        (status = 200, body = RetentionPolicy),
        (status = 403, description = "only administrators may", body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, description = "it has another version", body = ProblemBody),
        (status = 422, description = "fields break a rule, such as the policy's caps", body = ProblemBody),
    )
)]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Path(records): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<PolicyPatch>,
) -> Result<Response, Problem> {
    caller.require_role(Role::Admin, Scope::PrivacyWrite)?;
    let (records, expected) = (named(&records)?, expected_version(&headers)?);
    let by = info.changed_by(&caller);
    let changed = api.privacy.change_policy(records, &patch, expected, by);
    Ok(view(changed.await?))
}

fn view(policy: RetentionPolicy) -> Response {
    ([etag(policy.version)], axum::Json(policy)).into_response()
}

fn named(records: &str) -> Result<Records, Problem> {
    records.parse().map_err(|_| no_such_policy())
}

fn no_such_policy() -> Problem {
    let names = Records::ALL.map(Records::name).join(", ");
    Problem::new(Kind::NotFound, format!("there are policies for {names}"))
}
