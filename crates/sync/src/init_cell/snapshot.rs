use std::time::Duration;

use super::InitState;

/// What can be seen of an [`InitCell`](crate::InitCell) at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct InitCellSnapshot {
    /// Where the cell is in its life.
    pub state: InitState,
    /// For how long it has been there, in seconds where it is serialised. Only a cell with a name
    /// measures that.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub age: Option<Duration>,
    /// How many attempts were begun so far: the latest one's generation.
    pub attempts: u64,
    /// How many attempts failed or panicked so far.
    pub failures: u64,
}

#[cfg(feature = "metrics")]
impl InitCellSnapshot {
    pub(crate) fn figures(&self) -> Vec<crate::registry::Figure> {
        use crate::registry::Figure::{Gauge, Total};
        let is_ready = matches!(self.state, InitState::Ready(_));
        vec![
            Gauge("steadfast_sync_ready", f64::from(u8::from(is_ready))),
            Total("steadfast_sync_attempts_total", self.attempts),
            Total("steadfast_sync_failed_total", self.failures),
        ]
    }
}
