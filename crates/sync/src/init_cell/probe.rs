use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant};
use tracing::warn;

use super::{InitCellSnapshot, InitState};
use crate::{
    PrimitiveState, Snapshot,
    meters::Meters,
    registry::Inspect,
    rt::{self, Mutex},
};

/// What the registry sees of a cell with a name. The cell itself may be a constant, which a
/// registry cannot refer to.
pub(super) struct Probe {
    pub(super) name: String,
    pub(super) long_hold: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meters: Meters,
    pub(super) seen: Mutex<Seen>,
}

/// What the cell was like at its latest transition.
pub(super) struct Seen {
    pub(super) state: InitState,
    pub(super) since: Instant,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    /// Whether the attempt in flight was reported as a long one.
    pub(super) is_reported: bool,
}

impl Probe {
    pub(super) fn snapshot(&self) -> InitCellSnapshot {
        let now = self.clock.monotonic();
        let seen = rt::lock(&self.seen);
        InitCellSnapshot {
            state: seen.state,
            age: Some(now.saturating_duration_since(seen.since)),
            attempts: seen.attempts,
            failures: seen.failures,
        }
    }

    /// The attempt in flight, if it has just turned out to take long, and how long it has taken.
    fn long_attempt(&self) -> Option<(u64, Duration)> {
        let now = self.clock.monotonic();
        let mut seen = rt::lock(&self.seen);
        let InitState::Initialising(generation) = seen.state else {
            return None;
        };
        let held_for = now.saturating_duration_since(seen.since);
        let is_new = held_for >= self.long_hold && !seen.is_reported;
        seen.is_reported |= is_new;
        is_new.then_some((generation, held_for))
    }
}

impl Inspect for Probe {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            state: PrimitiveState::InitCell(self.snapshot()),
        }
    }

    fn look(&self) {
        if let Some((generation, held_for)) = self.long_attempt() {
            let name = &self.name;
            warn!(name, generation, ?held_for, "initialisation takes long");
            self.meters.count("long_hold");
        }
    }
}
