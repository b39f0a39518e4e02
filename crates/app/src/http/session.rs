use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, State},
    response::{AppendHeaders, IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, SESSION_COOKIE,
    caller::Caller,
    extract::Json,
    problem::{Problem, ProblemBody},
    request_info::RequestInfo,
    users::UserView,
};
use crate::{
    accounts::{AccountError, LoggedIn, Via},
    audit::{AuditAction, AuditEntry},
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(log_out))
        .routes(routes!(me))
}

/// Name and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    username: String,
    password: String,
}

/// Who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    user: UserView,
    /// What the header `X-CSRF-Token` of the cookie's writes must say; absent for a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf: Option<String>,
}

impl SessionView {
    /// The answer that begins a session: cookie and body.
    pub(super) fn begin(api: &Api, logged_in: &LoggedIn) -> impl IntoResponse + use<> {
        let max_age = logged_in.lasts.as_secs();
        let cookie = cookie(api, logged_in.session.expose(), max_age);
        let csrf = Some(logged_in.csrf.clone());
        let view = Self {
            user: logged_in.user.clone().into(),
            csrf,
        };
        (
            AppendHeaders([(header::SET_COOKIE, cookie)]),
            axum::Json(view),
        )
    }
}

/// Begins a session: the cookie goes with the browser's requests, the CSRF token into the header
/// `X-CSRF-Token` of those that write.
#[utoipa::path(
    post, path = "/auth/login", operation_id = "logIn", tag = "session", request_body = LoginRequest,
    responses(
        (status = 200, body = SessionView),
        (status = 401, description = "name or password is wrong", body = ProblemBody),
        (status = 429, description = "too many tries", body = ProblemBody),
    )
)]
async fn log_in(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    info: RequestInfo,
    Json(request): Json<LoginRequest>,
) -> Result<Response, Problem> {
    let LoginRequest { username, password } = request;
    let logged_in = api.accounts.log_in(peer.ip(), &username, &password).await;
    let logged_in = match logged_in {
        Ok(logged_in) => logged_in,
        Err(error) => {
            if matches!(error, AccountError::WrongPassword) {
                note_refusal(&api, info, &username).await;
            }
            return Err(error.into());
        }
    };
    api.note(info, &logged_in.user, AuditAction::LogIn, None)
        .await;
    Ok(SessionView::begin(&api, &logged_in).into_response())
}

/// Notes a log-in that was refused. The name is not noted, since some type their password there:
/// only whose account it is, if anybody's. Those refused for being too many are not noted.
async fn note_refusal(api: &Api, info: RequestInfo, username: &str) {
    let account = api.accounts.id_of(username).await;
    let entry = AuditEntry {
        succeeded: false,
        user_id: account.ok().flatten(),
        ..AuditEntry::new(AuditAction::LogIn, api.audit_time())
    };
    api.note_entry(info.entry(entry)).await;
}

/// Ends the session.
#[utoipa::path(post, path = "/auth/logout", operation_id = "logOut", tag = "session", responses((status = 204)))]
async fn log_out(
    State(api): State<Api>,
    info: RequestInfo,
    caller: Caller,
) -> Result<Response, Problem> {
    let (session, _) = caller.require_session()?;
    api.accounts.log_out(session).await?;
    api.note(info, &caller.0.user, AuditAction::LogOut, None)
        .await;
    api.end_connections(&caller.0.user);
    let cookie = cookie(&api, "", 0);
    Ok((
        StatusCode::NO_CONTENT,
        AppendHeaders([(header::SET_COOKIE, cookie)]),
    )
        .into_response())
}

/// Who the credential belongs to.
#[utoipa::path(
    get, path = "/me", operation_id = "whoAmI", tag = "session",
    responses((status = 200, body = SessionView), (status = 401, body = ProblemBody))
)]
async fn me(caller: Caller) -> axum::Json<SessionView> {
    let csrf = match &caller.0.via {
        Via::Session { csrf, .. } => Some(csrf.clone()),
        Via::Token { .. } => None,
    };
    axum::Json(SessionView {
        user: caller.0.user.into(),
        csrf,
    })
}

fn cookie(api: &Api, value: &str, max_age: i64) -> String {
    let secure = if api.secure_cookies { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}")
}
