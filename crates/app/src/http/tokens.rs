use axum::{extract::State, response::IntoResponse};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Api,
    caller::Caller,
    extract::{Json, Path, Query},
    page::{IdPage, PageView},
    problem::{Problem, ProblemBody},
    request_info::RequestInfo,
};
use crate::{
    accounts::{Scope, Token},
    audit::AuditAction,
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(delete))
}

/// A new API token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// What to call it.
    name: String,
    /// What it allows, within what its user may.
    scopes: Vec<Scope>,
    /// After how many days it ends, 1 to 3650; never where nothing is said.
    expires_in_days: Option<u32>,
}

/// An API token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
struct TokenView {
    id: Uuid,
    name: String,
    scopes: Vec<Scope>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            created_at: token.created_at,
            expires_at: token.expires_at,
        }
    }
}

/// An API token that was just made: the only time that its secret is shown.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedToken {
    /// The secret: `Authorization: Bearer sf_…`.
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

/// Makes an API token; needs a session, since a stolen token must not make more.
#[utoipa::path(
    post, path = "/tokens", operation_id = "createToken", tag = "tokens", request_body = NewToken,
    responses(
        (status = 201, body = CreatedToken),
        (status = 403, description = "a token may not make tokens", body = ProblemBody),
        (status = 422, description = "a value breaks its rule", body = ProblemBody),
    )
)]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Json(new): Json<NewToken>,
) -> Result<impl IntoResponse, Problem> {
    caller.require_session()?;
    let (token, secret) = api
        .accounts
        .create_token(&caller.0.user, &new.name, &new.scopes, new.expires_in_days)
        .await?;
    let target = Some(token.id.to_string());
    api.note(info, &caller.0.user, AuditAction::CreateToken, target)
        .await;
    let token = CreatedToken {
        token: secret.expose().to_owned(),
        view: token.into(),
    };
    Ok((StatusCode::CREATED, axum::Json(token)))
}

/// The user's API tokens, oldest first.
#[utoipa::path(
    get, path = "/tokens", operation_id = "listTokens", tag = "tokens", params(IdPage),
    responses((status = 200, body = PageView<TokenView>))
)]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<IdPage>,
) -> Result<axum::Json<PageView<TokenView>>, Problem> {
    caller.require_session()?;
    let (after, limit) = page.read()?;
    let tokens = api
        .accounts
        .tokens(&caller.0.user, after, limit + 1)
        .await?;
    Ok(axum::Json(PageView::cut(tokens, limit, |token| {
        token.id.to_string()
    })))
}

/// Revokes an API token: from now on it opens nothing, and what it had opened is closed.
#[utoipa::path(
    delete, path = "/tokens/{id}", operation_id = "deleteToken", tag = "tokens", params(("id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ProblemBody))
)]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    caller.require_session()?;
    api.accounts.delete_token(&caller.0.user, id).await?;
    let target = Some(id.to_string());
    api.note(info, &caller.0.user, AuditAction::DeleteToken, target)
        .await;
    api.end_connections(&caller.0.user);
    Ok(StatusCode::NO_CONTENT)
}
