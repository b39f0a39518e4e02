use std::{hash::Hash, net::IpAddr, sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_sync::{ConfigError, KeyedRateLimiter, Quota, RateError};

use super::{AccountError, Username};
use crate::network::network;

/// Failures at once, of one client at one account.
const PER_ACCOUNT: u32 = 10;

/// Failures at once, of one client at any accounts.
const PER_CLIENT: u32 = 100;

/// In which time as many failures are allowed again.
const PERIOD: Duration = Duration::from_secs(60);

/// How often somebody may fail to log in: one client at one account, against guessing its
/// password, and one client at all of them, against trying one password on each.
///
/// Only failures count, and only those of the same client: nobody can lock somebody else out.
#[derive(Debug)]
pub(super) struct LoginLimits {
    at_account: KeyedRateLimiter<(IpAddr, Username)>,
    at_any: KeyedRateLimiter<IpAddr>,
}

impl LoginLimits {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Result<Self, AccountError> {
        let limits = || {
            Ok(Self {
                at_account: limiter(PER_ACCOUNT, clock)?,
                at_any: limiter(PER_CLIENT, clock)?,
            })
        };
        limits().map_err(|source| AccountError::Limits { source })
    }

    /// Refuses a client that has failed too often.
    pub(super) fn check(&self, from: IpAddr, account: &Username) -> Result<(), AccountError> {
        let client = network(from);
        self.at_any
            .peek(&client, 1)
            .and_then(|()| self.at_account.peek(&(client, account.clone()), 1))
            .map_err(|error| too_many(&error))
    }

    /// Counts a failure.
    pub(super) fn failed(&self, from: IpAddr, account: &Username) {
        let client = network(from);
        // Refused failures do not count: the client waits already.
        let _ = self.at_any.try_acquire(&client, 1);
        let _ = self.at_account.try_acquire(&(client, account.clone()), 1);
    }
}

fn limiter<K>(failures: u32, clock: &Arc<dyn Clock>) -> Result<KeyedRateLimiter<K>, ConfigError>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    let quota = Quota::new(failures, PERIOD)?.with_burst(failures)?;
    KeyedRateLimiter::builder(quota)
        .clock(clock.clone())
        .build()
}

fn too_many(error: &RateError) -> AccountError {
    let retry_after = match error {
        RateError::Denied { retry_after } => *retry_after,
        _ => PERIOD,
    };
    AccountError::TooManyAttempts { retry_after }
}
