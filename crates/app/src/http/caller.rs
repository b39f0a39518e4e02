use axum::extract::FromRequestParts;
use http::{HeaderMap, Method, header, request::Parts};

use steadfast_notifications::UserId;

use super::{
    Api,
    origin::is_same_origin,
    problem::{Kind, Problem},
};
use crate::accounts::{Principal, Role, Scope, SecretHash, Via};

/// The name of the session's cookie.
pub const SESSION_COOKIE: &str = "steadfast_session";

/// The header that a cookie's writes must carry.
const CSRF_HEADER: &str = "x-csrf-token";

/// Who makes the request: nothing unauthenticated has one.
///
/// A write by cookie has shown its CSRF header and comes from our own origin.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub Principal);

impl Caller {
    /// The caller, to the notifications.
    pub(super) fn user_id(&self) -> UserId {
        UserId::new(self.0.user.id)
    }

    /// Lets through what the credential's scopes allow.
    ///
    /// # Errors
    ///
    /// The problem to answer with, if they do not.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.has_scope(scope) {
            return Ok(());
        }
        let detail = format!("the token lacks the scope {}", scope.as_str());
        Err(Problem::new(Kind::Forbidden, detail))
    }

    /// Lets through the one role, with the one scope.
    ///
    /// # Errors
    ///
    /// The problem to answer with, if it is another.
    pub(super) fn require_role(&self, role: Role, scope: Scope) -> Result<(), Problem> {
        self.require(scope)?;
        if self.0.user.role == role {
            return Ok(());
        }
        Err(Problem::new(
            Kind::Forbidden,
            format!("only the role {} may do this", role.as_str()),
        ))
    }

    /// Lets through a person at a browser, not a token: so that a stolen token cannot make more.
    ///
    /// # Errors
    ///
    /// The problem to answer with, if it is a token.
    pub(super) fn require_session(&self) -> Result<(&SecretHash, &str), Problem> {
        match &self.0.via {
            Via::Session { hash, csrf, .. } => Ok((hash, csrf)),
            Via::Token { .. } => Err(Problem::new(
                Kind::Forbidden,
                "log in to do this; a token may not",
            )),
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let principal = authenticate(&parts.headers, api).await?.ok_or_else(|| {
            let detail = "log in, or send `Authorization: Bearer sf_…`";
            Problem::new(Kind::Unauthenticated, detail)
        })?;
        if let Via::Session { csrf, .. } = &principal.via {
            refuse_cross_site(&parts.method, &parts.headers, csrf, api)?;
        }
        let credential = match &principal.via {
            Via::Session { .. } => principal.user.id,
            Via::Token { id, .. } => *id,
        };
        api.limits.charge_credential(credential)?;
        Ok(Self(principal))
    }
}

/// Who the headers' credential belongs to; `None`: there is no credential.
///
/// # Errors
///
/// The problem to answer with, if the credential is wrong.
///
/// # Cancel safety
///
/// Reads only.
pub(super) async fn authenticate(
    headers: &HeaderMap,
    api: &Api,
) -> Result<Option<Principal>, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
        let token = token.ok_or_else(|| {
            Problem::new(
                Kind::Unauthenticated,
                "the Authorization header is not `Bearer sf_…`",
            )
        })?;
        return Ok(Some(api.accounts.by_token(token).await?));
    }
    match session_cookie(headers) {
        Some(key) => Ok(Some(api.accounts.by_session(key).await?)),
        None => Ok(None),
    }
}

/// The value of the session's cookie.
fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION_COOKIE).then_some(value))
}

fn refuse_cross_site(
    method: &Method,
    headers: &HeaderMap,
    csrf: &str,
    api: &Api,
) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    if headers.contains_key(header::ORIGIN) && !is_same_origin(headers, api.public_url.as_ref()) {
        return Err(Problem::new(
            Kind::Csrf,
            "the Origin header names another site",
        ));
    }
    let sent = headers.get(CSRF_HEADER).map(http::HeaderValue::as_bytes);
    if sent != Some(csrf.as_bytes()) {
        let detail = "a write by cookie needs the header X-CSRF-Token, as given at log-in";
        return Err(Problem::new(Kind::Csrf, detail));
    }
    Ok(())
}
