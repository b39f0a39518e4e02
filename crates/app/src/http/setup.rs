use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    extract::Json,
    problem::{Problem, ProblemBody},
    request_info::RequestInfo,
    session::SessionView,
};
use crate::audit::AuditAction;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(needed, set_up))
}

/// Whether somebody still has to set up.
#[derive(Debug, Serialize, ToSchema)]
struct SetupNeeded {
    needed: bool,
}

/// The one-time token of the file `setup-token`, and the first administrator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupRequest {
    token: String,
    username: String,
    password: String,
}

/// Whether the service still waits for its first administrator.
#[utoipa::path(get, path = "/setup", operation_id = "needsSetup", tag = "setup", responses((status = 200, body = SetupNeeded)))]
async fn needed(State(api): State<Api>) -> Result<axum::Json<SetupNeeded>, Problem> {
    Ok(axum::Json(SetupNeeded {
        needed: api.accounts.needs_setup().await?,
    }))
}

/// Makes the first administrator and logs them in; works once.
#[utoipa::path(
    post, path = "/setup", operation_id = "setUp", tag = "setup", request_body = SetupRequest,
    responses(
        (status = 201, body = SessionView),
        (status = 403, description = "the token is wrong or has expired", body = ProblemBody),
        (status = 409, description = "set up already", body = ProblemBody),
        (status = 422, description = "a value breaks its rule", body = ProblemBody),
    )
)]
async fn set_up(
    State(api): State<Api>,
    info: RequestInfo,
    Json(request): Json<SetupRequest>,
) -> Result<Response, Problem> {
    let SetupRequest {
        token,
        username,
        password,
    } = request;
    let logged_in = api.accounts.set_up(&token, &username, &password).await?;
    tracing::info!(
        username = logged_in.user.username.as_str(),
        "the first administrator is set up"
    );
    api.note(info, &logged_in.user, AuditAction::SetUp, None)
        .await;
    Ok((StatusCode::CREATED, SessionView::begin(&api, &logged_in)).into_response())
}
