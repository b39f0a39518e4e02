use std::{hash::Hash, net::IpAddr, sync::Arc, time::Duration};

use steadfast_clock::Clock;
use steadfast_sync::{ConfigError, KeyedRateLimiter, Quota, RateError};

use super::{AccountError, Username};

/// Tries at once.
const BURST: u32 = 10;

/// In which time that many tries are allowed again.
const PERIOD: Duration = Duration::from_secs(60);

/// How often somebody may try to log in: per account, against guessing its password from many
/// addresses, and per address, against guessing many accounts' passwords.
#[derive(Debug)]
pub(super) struct LoginLimits {
    by_account: KeyedRateLimiter<Username>,
    by_address: KeyedRateLimiter<IpAddr>,
}

impl LoginLimits {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Result<Self, AccountError> {
        let limits = || {
            Ok(Self {
                by_account: limiter(clock)?,
                by_address: limiter(clock)?,
            })
        };
        limits().map_err(|source| AccountError::Limits { source })
    }

    pub(super) fn charge_account(&self, username: &Username) -> Result<(), AccountError> {
        charge(&self.by_account, username)
    }

    pub(super) fn charge_address(&self, address: IpAddr) -> Result<(), AccountError> {
        charge(&self.by_address, &address)
    }
}

fn limiter<K>(clock: &Arc<dyn Clock>) -> Result<KeyedRateLimiter<K>, ConfigError>
where
    K: Clone + Eq + Hash + Send + Sync,
{
    let quota = Quota::new(BURST, PERIOD)?.with_burst(BURST)?;
    KeyedRateLimiter::builder(quota)
        .clock(clock.clone())
        .build()
}

fn charge<K>(limiter: &KeyedRateLimiter<K>, key: &K) -> Result<(), AccountError>
where
    K: Clone + Eq + Hash + Send + Sync,
{
    limiter.try_acquire(key, 1).map_err(|error| {
        let retry_after = match error {
            RateError::Denied { retry_after } => retry_after,
            _ => PERIOD,
        };
        AccountError::TooManyAttempts { retry_after }
    })
}
