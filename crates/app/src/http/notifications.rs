use axum::{extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use steadfast_notifications::{
    ListNotifications, NewNotification, Notification, NotificationId, Page, PageRequest,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    extract::{Json, Path, Query},
    problem::{Kind, Problem, ProblemBody},
};
use crate::accounts::Scope;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, publish))
        .routes(routes!(read_all))
        .routes(routes!(get, delete))
        .routes(routes!(read))
}

/// Which notifications.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Items of the page, 1 to 200; 50 where nothing is said.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only those after this sequence number, oldest first; newest first without it.
    after_seq: Option<u64>,
    /// Only unread ones.
    #[serde(default)]
    unread: bool,
}

/// How many were marked.
#[derive(Debug, Serialize, ToSchema)]
struct ReadCount {
    read: u64,
}

/// The caller's notifications.
#[utoipa::path(
    get, path = "/notifications", operation_id = "listNotifications", tag = "notifications", params(ListQuery),
    responses((status = 200, body = Page<Notification>), (status = 422, body = ProblemBody))
)]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<Notification>>, Problem> {
    caller.require(Scope::NotificationsRead)?;
    let ListQuery {
        limit,
        cursor,
        after_seq,
        unread,
    } = query;
    let limit = limit.unwrap_or(PageRequest::DEFAULT_LIMIT);
    let request = ListNotifications {
        page: PageRequest { limit, cursor },
        after_seq,
        unread,
    };
    let page = api.notifications.list(caller.user_id(), &request).await;
    page.map(axum::Json)
        .map_err(|error| Problem::from(error).in_query())
}

/// Notifies a user: the caller, or anybody where the caller is operator or administrator. With
/// the header `Idempotency-Key` a repeated call stores nothing twice.
#[utoipa::path(
    post, path = "/notifications", operation_id = "publishNotification", tag = "notifications", request_body = NewNotification,
    params(("idempotency-key" = Option<String>, Header)),
    responses(
        (status = 201, body = Notification),
        (status = 403, description = "not allowed to notify others", body = ProblemBody),
        (status = 409, description = "the same key is still at work", body = ProblemBody),
        (status = 422, description = "fields break a rule, or the key came with another body", body = ProblemBody),
    )
)]
async fn publish(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Json(new): Json<NewNotification>,
) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    if new.user_id != caller.user_id() && !caller.0.user.role.is_operator() {
        let detail = "only operators and administrators notify other users";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().unwrap_or_default());
    let notification = api
        .notifications
        .publish(caller.user_id(), new, key)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(notification)))
}

/// One notification of the caller.
#[utoipa::path(
    get, path = "/notifications/{id}", operation_id = "getNotification", tag = "notifications",
    params(("id" = NotificationId, Path)),
    responses((status = 200, body = Notification), (status = 404, body = ProblemBody))
)]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> Result<axum::Json<Notification>, Problem> {
    caller.require(Scope::NotificationsRead)?;
    Ok(axum::Json(
        api.notifications.get(caller.user_id(), id).await?,
    ))
}

/// Marks a notification as read, on every client of the caller.
#[utoipa::path(
    post, path = "/notifications/{id}/read", operation_id = "readNotification", tag = "notifications",
    params(("id" = NotificationId, Path)),
    responses((status = 200, body = Notification), (status = 404, body = ProblemBody))
)]
async fn read(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> Result<axum::Json<Notification>, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    api.notifications.mark_read(caller.user_id(), &[id]).await?;
    Ok(axum::Json(
        api.notifications.get(caller.user_id(), id).await?,
    ))
}

/// Marks all of the caller's notifications as read.
#[utoipa::path(
    post, path = "/notifications/read-all", operation_id = "readAllNotifications", tag = "notifications",
    responses((status = 200, body = ReadCount))
)]
async fn read_all(
    State(api): State<Api>,
    caller: Caller,
) -> Result<axum::Json<ReadCount>, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let read = api
        .notifications
        .mark_all_read(caller.user_id(), None)
        .await?;
    Ok(axum::Json(ReadCount { read }))
}

/// Deletes a notification, on every client of the caller.
#[utoipa::path(
    delete, path = "/notifications/{id}", operation_id = "deleteNotification", tag = "notifications",
    params(("id" = NotificationId, Path)),
    responses((status = 204), (status = 404, body = ProblemBody))
)]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<NotificationId>,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    if api
        .notifications
        .delete(caller.user_id(), &[id])
        .await?
        .is_empty()
    {
        return Err(Problem::new(
            Kind::NotFound,
            format!("there is no notification {id}"),
        ));
    }
    Ok(StatusCode::NO_CONTENT)
}
