use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use steadfast_notifications::{
    Channel, ChannelId, ChannelPatch, Delivery, DeliveryId, DeliveryState, NewChannel, Page,
    PageRequest, StoredChannel,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::Caller,
    etag::{etag, expected_version},
    extract::{Json, Path, Query},
    problem::{Problem, ProblemBody},
};
use crate::accounts::Scope;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(test))
        .routes(routes!(rotate_secret))
        .routes(routes!(deliveries))
        .routes(routes!(retry))
}

/// A channel with its new secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct ChannelWithSecret {
    #[serde(flatten)]
    channel: Channel,
    /// What signs the messages to a webhook (standardwebhooks.com); null for other kinds.
    secret: Option<String>,
}

/// What became of a test message.
#[derive(Debug, Serialize, ToSchema)]
struct TestOutcome {
    /// Whether the other side has taken it.
    delivered: bool,
    /// Why not.
    error: Option<String>,
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Items of the page, 1 to 200; 50 where nothing is said.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Only those in this state.
    state: Option<DeliveryState>,
}

/// The caller's channels, oldest first.
#[utoipa::path(
    get, path = "/channels", operation_id = "listChannels", tag = "channels", params(PageRequest),
    responses((status = 200, body = Page<Channel>), (status = 422, body = ProblemBody))
)]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(page): Query<PageRequest>,
) -> Result<axum::Json<Page<Channel>>, Problem> {
    caller.require(Scope::NotificationsRead)?;
    let page = api.channels.list(caller.user_id(), &page).await;
    page.map(axum::Json)
        .map_err(|error| Problem::from(error).in_query())
}

/// Creates a channel of the caller; the secret of a webhook is shown this once.
#[utoipa::path(
    post, path = "/channels", operation_id = "createChannel", tag = "channels", request_body = NewChannel,
    responses(
        (status = 201, body = ChannelWithSecret),
        (status = 409, description = "as many as allowed", body = ProblemBody),
        (status = 422, description = "fields break a rule", body = ProblemBody),
    )
)]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(new): Json<NewChannel>,
) -> Result<Response, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let created = api.channels.create(caller.user_id(), new).await?;
    let location = format!("/api/v1/channels/{}", created.channel.id);
    let mut response = with_secret(StatusCode::CREATED, created);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One channel of the caller; its version is the `ETag`.
#[utoipa::path(
    get, path = "/channels/{id}", operation_id = "getChannel", tag = "channels", params(("id" = ChannelId, Path)),
    responses((status = 200, body = Channel), (status = 404, body = ProblemBody))
)]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ChannelId>,
) -> Result<Response, Problem> {
    caller.require(Scope::NotificationsRead)?;
    Ok(view(api.channels.get(caller.user_id(), id).await?))
}

/// Changes the fields that the body names; a disabled channel's pending deliveries are cancelled.
#[utoipa::path(
    patch, path = "/channels/{id}", operation_id = "updateChannel", tag = "channels", request_body = ChannelPatch,
    params(("id" = ChannelId, Path), ("if-match" = Option<String>, Header)),
    responses(
        (status = 200, body = Channel),
        (status = 404, body = ProblemBody),
        (status = 412, description = "it has another version", body = ProblemBody),
        (status = 422, description = "fields break a rule", body = ProblemBody),
    )
)]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ChannelId>,
    headers: HeaderMap,
    Json(patch): Json<ChannelPatch>,
) -> Result<Response, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let (user, expected) = (caller.user_id(), expected_version(&headers)?);
    Ok(view(api.channels.update(user, id, &patch, expected).await?))
}

/// Deletes a channel and cancels its pending deliveries.
#[utoipa::path(
    delete, path = "/channels/{id}", operation_id = "deleteChannel", tag = "channels",
    params(("id" = ChannelId, Path), ("if-match" = Option<String>, Header)),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody),
        (status = 412, description = "it has another version", body = ProblemBody),
    )
)]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ChannelId>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let expected = expected_version(&headers)?;
    api.channels.delete(caller.user_id(), id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test message to a channel now, and says what became of it.
#[utoipa::path(
    post, path = "/channels/{id}/test", operation_id = "testChannel", tag = "channels", params(("id" = ChannelId, Path)),
    responses((status = 200, body = TestOutcome), (status = 404, body = ProblemBody))
)]
async fn test(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ChannelId>,
) -> Result<axum::Json<TestOutcome>, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let outcome = api.channels.test(caller.user_id(), id).await?;
    Ok(axum::Json(TestOutcome {
        delivered: outcome.is_ok(),
        error: outcome.err().map(|error| error.to_string()),
    }))
}

/// Gives a webhook a new secret, which is shown this once; the old one is void.
#[utoipa::path(
    post, path = "/channels/{id}/rotate-secret", operation_id = "rotateChannelSecret", tag = "channels",
    params(("id" = ChannelId, Path), ("if-match" = Option<String>, Header)),
    responses(
        (status = 200, body = ChannelWithSecret),
        (status = 404, body = ProblemBody),
        (status = 409, description = "it has no secret", body = ProblemBody),
        (status = 412, description = "it has another version", body = ProblemBody),
    )
)]
async fn rotate_secret(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<ChannelId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let (user, expected) = (caller.user_id(), expected_version(&headers)?);
    let rotated = api.channels.rotate_secret(user, id, expected).await?;
    Ok(with_secret(StatusCode::OK, rotated))
}

/// The caller's deliveries, newest first.
#[utoipa::path(
    get, path = "/deliveries", operation_id = "listDeliveries", tag = "channels", params(DeliveriesQuery),
    responses((status = 200, body = Page<Delivery>), (status = 422, body = ProblemBody))
)]
async fn deliveries(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<DeliveriesQuery>,
) -> Result<axum::Json<Page<Delivery>>, Problem> {
    caller.require(Scope::NotificationsRead)?;
    let page = PageRequest {
        limit: query.limit.unwrap_or(PageRequest::DEFAULT_LIMIT),
        cursor: query.cursor,
    };
    let (user, state) = (caller.user_id(), query.state);
    let page = api.channels.deliveries(user, &page, state).await;
    page.map(axum::Json)
        .map_err(|error| Problem::from(error).in_query())
}

/// Lets a dead letter be sent again: one of the caller, or any for operators. One that is pending
/// already is answered as it is.
#[utoipa::path(
    post, path = "/deliveries/{id}/retry", operation_id = "retryDelivery", tag = "channels", params(("id" = DeliveryId, Path)),
    responses(
        (status = 200, body = Delivery),
        (status = 404, body = ProblemBody),
        (status = 409, description = "it is not dead, or its channel is gone", body = ProblemBody),
    )
)]
async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<DeliveryId>,
) -> Result<axum::Json<Delivery>, Problem> {
    caller.require(Scope::NotificationsWrite)?;
    let is_operator = caller.0.user.role.is_operator();
    let owner = (!is_operator).then(|| caller.user_id());
    Ok(axum::Json(api.channels.retry(owner, id).await?))
}

fn view(channel: Channel) -> Response {
    ([etag(channel.version)], axum::Json(channel)).into_response()
}

fn with_secret(status: StatusCode, stored: StoredChannel) -> Response {
    let etag = etag(stored.channel.version);
    let body = ChannelWithSecret {
        channel: stored.channel,
        secret: stored.secret.map(|secret| secret.expose().to_owned()),
    };
    (status, [etag], axum::Json(body)).into_response()
}
