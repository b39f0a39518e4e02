use std::time::Duration;

/// What can be seen of a [`Semaphore`](crate::Semaphore) at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SemaphoreSnapshot {
    /// How many permits there are in all.
    pub capacity: usize,
    /// How many are in use; more than there are after the capacity was lowered.
    pub in_use: usize,
    /// How many callers wait.
    pub waiting: usize,
    /// How long the first of them has waited, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub oldest_wait: Option<Duration>,
    /// How often permits were acquired so far.
    pub acquired: u64,
}

#[cfg(feature = "metrics")]
impl SemaphoreSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        vec![
            Gauge("steadfast_sync_capacity", self.capacity as f64),
            Gauge("steadfast_sync_in_use", self.in_use as f64),
            Gauge("steadfast_sync_waiting", self.waiting as f64),
            Total("steadfast_sync_acquired_total", self.acquired),
        ]
    }
}
