use std::time::Duration;

/// What can be seen at one moment of a [`Debounce`](crate::Debounce) or a
/// [`Throttle`](crate::Throttle), keyed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PacedSnapshot {
    /// How many keys have a window, a pending call or a run. Without keys there is one at most.
    pub keys: usize,
    /// How many of them have a pending call.
    pub pending: usize,
    /// How long the first pending call has been held, in seconds where it is serialised. Told only
    /// where there are no keys, because it takes a look at each of them.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub held_for: Option<Duration>,
    /// When the pending call is due, zero once it is, in seconds where it is serialised. `None`
    /// while something is folded into it. Told only where there are no keys.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub due_in: Option<Duration>,
    /// How many runs are in progress.
    pub running: usize,
    /// How long the longest of them has taken so far, in seconds where it is serialised.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub running_for: Option<Duration>,
    /// How many runs have begun so far.
    pub runs: u64,
    /// How many of them panicked.
    pub panics: u64,
    /// Whether there is a driver.
    pub is_driven: bool,
    /// Whether further calls are refused.
    pub is_closed: bool,
}

#[cfg(feature = "metrics")]
impl PacedSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        vec![
            Gauge("steadfast_sync_keys", self.keys as f64),
            Gauge("steadfast_sync_pending", self.pending as f64),
            Gauge("steadfast_sync_running", self.running as f64),
            Total("steadfast_sync_runs_total", self.runs),
            Total("steadfast_sync_panicked_total", self.panics),
        ]
    }
}
