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
    extract::{Json, Query},
    page::{IdPage, PageView},
    problem::{Problem, ProblemBody},
    request_info::RequestInfo,
};
use crate::{
    accounts::{Role, Scope, User},
    audit::AuditAction,
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create))
}

/// Somebody who can log in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserView {
    id: Uuid,
    username: String,
    role: Role,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str().to_owned(),
            role: user.role,
            created_at: user.created_at,
        }
    }
}

/// A new user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    username: String,
    password: String,
    role: Role,
}

/// Makes a user; for administrators.
#[utoipa::path(
    post, path = "/users", operation_id = "createUser", tag = "users", request_body = NewUser,
    responses(
        (status = 201, body = UserView),
        (status = 403, description = "only administrators may", body = ProblemBody),
        (status = 409, description = "the name is taken", body = ProblemBody),
        (status = 422, description = "a value breaks its rule", body = ProblemBody),
    )
)]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    info: RequestInfo,
    Json(new): Json<NewUser>,
) -> Result<impl IntoResponse, Problem> {
    caller.require_role(Role::Admin, Scope::UsersWrite)?;
    let user = api
        .accounts
        .create_user(&new.username, &new.password, new.role)
        .await?;
    let target = Some(user.id.to_string());
    api.note(info, &caller.0.user, AuditAction::CreateUser, target)
        .await;
    Ok((StatusCode::CREATED, axum::Json(UserView::from(user))))
}

/// Everybody who can log in, oldest first; for administrators.
#[utoipa::path(
    get, path = "/users", operation_id = "listUsers", tag = "users", params(IdPage),
    responses((status = 200, body = PageView<UserView>), (status = 403, body = ProblemBody))
)]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<IdPage>,
) -> Result<axum::Json<PageView<UserView>>, Problem> {
    caller.require_role(Role::Admin, Scope::UsersWrite)?;
    let (after, limit) = page.read()?;
    let users = api.accounts.users(after, limit + 1).await?;
    Ok(axum::Json(PageView::cut(users, limit, |user| {
        user.id.to_string()
    })))
}
