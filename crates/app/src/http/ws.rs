use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use steadfast_ws_hub::{HubUpgrade, Refusal};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api,
    caller::{Caller, authenticate},
    extract::Query,
    problem::{Kind, Problem, ProblemBody},
};
use crate::{
    accounts::{Principal, Scope},
    adapters::hub::identity,
};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(ticket))
}

/// A single-use ticket.
#[derive(Debug, Serialize, ToSchema)]
struct TicketView {
    /// Open `/ws?ticket=…` with it, within 30 seconds.
    ticket: String,
}

/// What `/ws` may be opened with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WsQuery {
    ticket: Option<String>,
}

/// Makes a ticket that opens one WebSocket, for clients that can send neither cookie nor header.
#[utoipa::path(
    post, path = "/ws-ticket", operation_id = "issueTicket", tag = "live",
    responses((status = 201, body = TicketView), (status = 503, body = ProblemBody))
)]
async fn ticket(State(api): State<Api>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    caller.require(Scope::NotificationsRead)?;
    let ticket = api.tickets.issue(caller.0)?.ok_or_else(|| {
        Problem::new(
            Kind::Unavailable,
            "too many tickets are out; try again in 30 seconds",
        )
    })?;
    Ok((
        StatusCode::CREATED,
        axum::Json(TicketView {
            ticket: ticket.expose().to_owned(),
        }),
    ))
}

/// Opens a WebSocket: for a ticket, a bearer token, or a session's cookie. With none of them, the
/// `connect` command must bring a token. That a page is our own is seen to by the hub.
///
/// # Cancel safety
///
/// Dropped before it answers, no socket is open.
pub(super) async fn upgrade(
    State(api): State<Api>,
    Query(query): Query<WsQuery>,
    headers: HeaderMap,
    upgrade: Result<HubUpgrade, Refusal>,
) -> Result<Response, Problem> {
    let upgrade =
        upgrade.map_err(|refusal| Problem::new(Kind::UpgradeRequired, refusal.to_string()))?;
    let principal = match query.ticket {
        Some(ticket) => Some(of_ticket(&api, &ticket).await?),
        None => authenticate(&headers, &api).await?,
    };
    let upgrade = match principal {
        Some(principal) => upgrade.known_as(identity(&principal)),
        None => upgrade,
    };
    let response = api.hub.upgrade(upgrade).await;
    let refused = match response.status() {
        StatusCode::UNAUTHORIZED => Kind::Unauthenticated,
        StatusCode::FORBIDDEN => Kind::Csrf,
        StatusCode::TOO_MANY_REQUESTS => Kind::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE => Kind::Unavailable,
        _ => return Ok(response.into_response()),
    };
    Err(Problem::new(refused, response.into_body()))
}

/// Who a ticket was made for, who may have been erased since.
async fn of_ticket(api: &Api, ticket: &str) -> Result<Principal, Problem> {
    if let Some(principal) = api.tickets.redeem(ticket)
        && api.accounts.is_present(principal.user.id).await?
    {
        return Ok(principal);
    }
    let detail = "the ticket is unknown, used or too old";
    Err(Problem::new(Kind::Unauthenticated, detail))
}
