use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steadfast_privacy::{Erasure, ErasureError, ErasureId};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Api,
    caller::Caller,
    extract::{Json, Path, Query},
    page::{PageView, page_limit},
    problem::{Kind, Problem, ProblemBody},
};
use crate::{
    accounts::{Role, Scope, Secret, SecretHash},
    adapters::personal::export_lines,
};

/// What receipt codes begin with.
const CODE_PREFIX: &str = "er_";

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(export))
        .routes(routes!(list, request))
        .routes(routes!(get, cancel))
        .routes(routes!(receipt))
}

/// Whose data.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportQuery {
    /// The caller's, where nothing is said; administrators may name somebody else.
    user_id: Option<Uuid>,
}

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RequestKind {
    Erasure,
}

/// A request for the erasure of all that is stored about a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRequest {
    #[serde(rename = "kind")]
    _kind: RequestKind,
    /// The caller's password; not needed within ten minutes after a log-in.
    password: Option<String>,
    /// Who; the caller, where nothing is said. Administrators may name somebody else.
    user_id: Option<Uuid>,
}

/// A request that was taken.
#[derive(Debug, Serialize, ToSchema)]
struct RequestView {
    request: Erasure,
    /// Shows the receipt when nobody can log in any more; told once.
    code: String,
    /// Where to get all of the data until then.
    export: &'static str,
}

/// Which requests.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RequestsQuery {
    /// Items of the page, 1 to 200; 50 where nothing is said.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<ErasureId>,
}

/// The code that was told when the erasure was asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReceiptRequest {
    code: String,
}

/// All that is stored about the caller, as lines of JSON: the last one says `"end":true`.
#[utoipa::path(
    get, path = "/privacy/export", operation_id = "exportPersonalData", tag = "privacy", params(ExportQuery),
    responses(
        (status = 200, description = "one JSON object a line", body = String, content_type = "application/x-ndjson"),
        (status = 404, description = "no such user", body = ProblemBody),
        (status = 503, description = "two exports are under way", body = ProblemBody),
    )
)]
async fn export(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    caller.require(Scope::PrivacyWrite)?;
    let user = subject(&api, &caller, query.user_id).await?;
    let permit = api.exports.clone().try_acquire_owned().map_err(|_| {
        let detail = "as many exports as allowed are under way; try again later";
        Problem::new(Kind::Unavailable, detail).retry_after(std::time::Duration::from_secs(10))
    })?;
    let lines = export_lines(api.export.clone(), user, now(&api)).map(move |line| {
        // Held as long as the lines are.
        let _held = &permit;
        line.inspect_err(|error| tracing::warn!(%error, "an export ended early"))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"steadfast-export.jsonl\"",
        ),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// Asks for the erasure of the caller, seven days from now; until then it can be cancelled.
#[utoipa::path(
    post, path = "/privacy/requests", operation_id = "requestErasure", tag = "privacy", request_body = NewRequest,
    responses(
        (status = 201, body = RequestView),
        (status = 401, description = "the password is wrong", body = ProblemBody),
        (status = 403, description = "a token asks, or for somebody else", body = ProblemBody),
        (status = 409, description = "there is an open request, or nobody else administrates", body = ProblemBody),
        (status = 422, description = "the password is missing", body = ProblemBody),
    )
)]
async fn request(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    caller: Caller,
    Json(new): Json<NewRequest>,
) -> Result<Response, Problem> {
    caller.require_session()?;
    match &new.password {
        Some(password) => {
            let confirmed = api.accounts.confirm(peer.ip(), &caller.0.user, password);
            confirmed.await?;
        }
        None if api.accounts.is_fresh(&caller.0) => {}
        None => {
            let detail = "is needed: the session is older than ten minutes";
            return Err(Problem::field("/password", detail));
        }
    }
    let user = subject(&api, &caller, new.user_id).await?;
    if !api.accounts.has_admin_besides(user).await? {
        let detail = "nobody else would be an administrator; make another one first";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let code = Secret::generate(CODE_PREFIX)?;
    let hash = Some(*code.hash().as_bytes());
    let request = api.erasures.request(user, hash, false).await?;
    let view = RequestView {
        request,
        code: code.expose().to_owned(),
        export: "/api/v1/privacy/export",
    };
    Ok((StatusCode::CREATED, axum::Json(view)).into_response())
}

/// The caller's requests, newest first; administrators and auditors see everybody's.
#[utoipa::path(
    get, path = "/privacy/requests", operation_id = "listErasures", tag = "privacy", params(RequestsQuery),
    responses((status = 200, body = PageView<Erasure>))
)]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<RequestsQuery>,
) -> Result<axum::Json<PageView<Erasure>>, Problem> {
    caller.require(Scope::PrivacyWrite)?;
    let limit = page_limit(query.limit)?;
    let user = (!sees_all(&caller)).then_some(caller.0.user.id);
    let found = api.erasures.list(user, query.cursor, limit + 1).await?;
    Ok(axum::Json(PageView::cut(found, limit, |erasure| {
        erasure.id.to_string()
    })))
}

/// One request, with its receipt once it is completed.
#[utoipa::path(
    get, path = "/privacy/requests/{id}", operation_id = "getErasure", tag = "privacy",
    params(("id" = ErasureId, Path)),
    responses((status = 200, body = Erasure), (status = 404, body = ProblemBody))
)]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ErasureId>,
) -> Result<axum::Json<Erasure>, Problem> {
    caller.require(Scope::PrivacyWrite)?;
    visible(&api, &caller, id).await.map(axum::Json)
}

/// Cancels a request that has not begun.
#[utoipa::path(
    delete, path = "/privacy/requests/{id}", operation_id = "cancelErasure", tag = "privacy",
    params(("id" = ErasureId, Path)),
    responses(
        (status = 200, body = Erasure),
        (status = 403, description = "an auditor, of somebody else's", body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, description = "it has begun or is over", body = ProblemBody),
    )
)]
async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ErasureId>,
) -> Result<axum::Json<Erasure>, Problem> {
    caller.require(Scope::PrivacyWrite)?;
    let found = visible(&api, &caller, id).await?;
    if found.user_id != caller.0.user.id {
        caller.require_role(Role::Admin, Scope::PrivacyWrite)?;
    }
    Ok(axum::Json(api.erasures.cancel(id).await?))
}

/// The request whose receipt code this is: for whoever cannot log in any more.
#[utoipa::path(
    post, path = "/privacy/receipt", operation_id = "readReceipt", tag = "privacy", request_body = ReceiptRequest,
    security(()),
    responses((status = 200, body = Erasure), (status = 404, body = ProblemBody))
)]
async fn receipt(
    State(api): State<Api>,
    Json(asked): Json<ReceiptRequest>,
) -> Result<axum::Json<Erasure>, Problem> {
    let code = *SecretHash::of(&asked.code).as_bytes();
    let found = api.erasures.by_code(code).await?;
    found
        .map(axum::Json)
        .ok_or_else(|| Problem::new(Kind::NotFound, "no request has this code"))
}

/// The caller, or whom an administrator names.
async fn subject(api: &Api, caller: &Caller, named: Option<Uuid>) -> Result<Uuid, Problem> {
    let own = caller.0.user.id;
    let Some(user) = named.filter(|named| *named != own) else {
        return Ok(own);
    };
    caller.require_role(Role::Admin, Scope::PrivacyWrite)?;
    if api.accounts.is_present(user).await? {
        return Ok(user);
    }
    Err(Problem::new(Kind::NotFound, "there is no such user"))
}

/// A request, if the caller may see it.
async fn visible(api: &Api, caller: &Caller, id: ErasureId) -> Result<Erasure, Problem> {
    let found = api.erasures.get(id).await?;
    if found.user_id == caller.0.user.id || sees_all(caller) {
        return Ok(found);
    }
    Err(ErasureError::Find { id }.into())
}

fn sees_all(caller: &Caller) -> bool {
    matches!(caller.0.user.role, Role::Admin | Role::Auditor)
}

fn now(api: &Api) -> Timestamp {
    Timestamp::try_from(api.clock.wall()).unwrap_or(Timestamp::MAX)
}
