use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use steadfast_notifications::{NewPreferences, Preferences, PreferencesPatch};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    etag::{etag, expected_version},
    extract::Json,
    problem::{Problem, ProblemBody},
};
use crate::accounts::Scope;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get, replace, update))
}

/// The caller's preferences; their version is the `ETag`. Who never set any has the default.
#[utoipa::path(
    get, path = "/preferences", operation_id = "getPreferences", tag = "preferences",
    responses((status = 200, body = Preferences))
)]
async fn get(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Scope::NotificationsRead)?;
    Ok(view(api.preferences.get(caller.user_id()).await?))
}

/// Replaces the caller's preferences: what the body leaves out becomes the default.
/// `If-Match: "<version>"` refuses if they were changed since. What is held already goes when it was
/// to go.
#[utoipa::path(
    put, path = "/preferences", operation_id = "replacePreferences", tag = "preferences",
    request_body = NewPreferences, params(("if-match" = Option<String>, Header)),
    responses(
        (status = 200, body = Preferences),
        (status = 412, description = "they have another version", body = ProblemBody),
        (status = 422, description = "fields break a rule", body = ProblemBody),
    )
)]
async fn replace(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Json(new): Json<NewPreferences>,
) -> Result<Response, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let expected = expected_version(&headers)?;
    let replaced = api.preferences.replace(caller.user_id(), &new, expected);
    Ok(view(replaced.await?))
}

/// Changes the preferences that the body names; `null` ends quiet hours or a digest.
/// `If-Match: "<version>"` refuses if they were changed since.
#[utoipa::path(
    patch, path = "/preferences", operation_id = "updatePreferences", tag = "preferences",
    request_body = PreferencesPatch, params(("if-match" = Option<String>, Header)),
    responses(
        (status = 200, body = Preferences),
        (status = 412, description = "they have another version", body = ProblemBody),
        (status = 422, description = "fields break a rule", body = ProblemBody),
    )
)]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Json(patch): Json<PreferencesPatch>,
) -> Result<Response, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let expected = expected_version(&headers)?;
    let updated = api.preferences.update(caller.user_id(), &patch, expected);
    Ok(view(updated.await?))
}

fn view(preferences: Preferences) -> Response {
    ([etag(preferences.version)], axum::Json(preferences)).into_response()
}
