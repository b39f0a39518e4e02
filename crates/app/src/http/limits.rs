use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use steadfast_clock::Clock;
use steadfast_sync::{ConfigError, KeyedRateLimiter, Quota, RateError};
use uuid::Uuid;

use super::problem::{Kind, Problem};
use crate::network::network;

/// Requests a second that one address or one credential may make on average.
const RATE: u32 = 50;

/// Requests that it may make at once.
const BURST: u32 = 200;

/// How many requests each address and each credential may make.
#[derive(Debug)]
pub struct RequestLimits {
    by_address: KeyedRateLimiter<IpAddr>,
    by_credential: KeyedRateLimiter<Uuid>,
}

impl RequestLimits {
    /// The limits, all of them unused.
    ///
    /// # Errors
    ///
    /// Never with the rates that this file names.
    pub fn new(clock: &Arc<dyn Clock>) -> Result<Self, ConfigError> {
        Ok(Self {
            by_address: KeyedRateLimiter::builder(quota()?)
                .clock(clock.clone())
                .build()?,
            by_credential: KeyedRateLimiter::builder(quota()?)
                .clock(clock.clone())
                .build()?,
        })
    }

    /// Charges a request to the address that it came from.
    ///
    /// # Errors
    ///
    /// The problem to answer with, if the address has made too many.
    pub fn charge_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.by_address
            .try_acquire(&network(address), 1)
            .map_err(|error| limited(&error))
    }

    /// Charges a request to the token, or to the user whose session it is.
    ///
    /// # Errors
    ///
    /// The problem to answer with, if the credential has made too many.
    pub fn charge_credential(&self, id: Uuid) -> Result<(), Problem> {
        self.by_credential
            .try_acquire(&id, 1)
            .map_err(|error| limited(&error))
    }
}

/// The layer that charges each request to its address.
pub(super) async fn by_address(
    State(limits): State<Arc<RequestLimits>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match limits.charge_address(peer.ip()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn quota() -> Result<Quota, ConfigError> {
    Quota::per_second(RATE)?.with_burst(BURST)
}

fn limited(error: &RateError) -> Problem {
    let problem = Problem::new(Kind::RateLimited, "too many requests; see Retry-After");
    match error {
        RateError::Denied { retry_after } => problem.retry_after(*retry_after),
        _ => problem.retry_after(std::time::Duration::from_secs(1)),
    }
}
