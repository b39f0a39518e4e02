use std::time::Duration;

use super::Quota;

/// What can be seen of a [`RateLimiter`](crate::RateLimiter) at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RateLimiterSnapshot {
    /// The quota in force.
    pub quota: Quota,
    /// How many units are there, not counting those who wait.
    pub available: u32,
    /// How many callers wait.
    pub waiting: usize,
    /// How long the first of them has waited, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub oldest_wait: Option<Duration>,
    /// How many requests were refused so far because there were too few units, the wait would
    /// have been too long, or too many waited; those that could never succeed are not counted.
    pub denied: u64,
}

/// What can be seen of a [`KeyedRateLimiter`](crate::KeyedRateLimiter).
///
/// Its parts are read one after the other, each at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KeyedRateLimiterSnapshot {
    /// The quota of each key.
    pub quota: Quota,
    /// How many keys are tracked.
    pub keys: usize,
    /// How many callers wait, at all keys together.
    pub waiting: usize,
    /// How long the one that has waited longest has waited, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub oldest_wait: Option<Duration>,
    /// How many requests were refused so far because there were too few units, the wait would
    /// have been too long, too many waited or too many keys were tracked; those that could never
    /// succeed are not counted.
    pub denied: u64,
}

#[cfg(feature = "metrics")]
impl RateLimiterSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        vec![
            Gauge("steadfast_sync_available", f64::from(self.available)),
            Gauge("steadfast_sync_waiting", self.waiting as f64),
            Total("steadfast_sync_denied_total", self.denied),
        ]
    }
}

#[cfg(feature = "metrics")]
impl KeyedRateLimiterSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        vec![
            Gauge("steadfast_sync_keys", self.keys as f64),
            Gauge("steadfast_sync_waiting", self.waiting as f64),
            Total("steadfast_sync_denied_total", self.denied),
        ]
    }
}
