use std::time::Duration;

/// What can be seen of a [`SingleFlight`](crate::SingleFlight) at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SingleFlightSnapshot {
    /// How many keys are in flight.
    pub in_flight: usize,
    /// How many of these flights nobody waits for: a task goes on with them.
    pub unobserved: usize,
    /// How many callers wait for all flights together.
    pub callers: usize,
    /// How long ago the first poll of the oldest flight ended, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub oldest: Option<Duration>,
    /// How often work was begun so far.
    pub executed: u64,
    /// How often a caller joined the work of another one so far.
    pub joined: u64,
    /// How often work failed so far.
    pub failed: u64,
    /// How often work panicked so far.
    pub panicked: u64,
}

#[cfg(feature = "metrics")]
impl SingleFlightSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        vec![
            Gauge("steadfast_sync_in_flight", self.in_flight as f64),
            Gauge("steadfast_sync_unobserved", self.unobserved as f64),
            Gauge("steadfast_sync_waiting", self.callers as f64),
            Total("steadfast_sync_executed_total", self.executed),
            Total("steadfast_sync_joined_total", self.joined),
            Total("steadfast_sync_failed_total", self.failed),
            Total("steadfast_sync_panicked_total", self.panicked),
        ]
    }
}
