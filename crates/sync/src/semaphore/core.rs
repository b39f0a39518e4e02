use std::{sync::Arc, time::Duration};

use steadfast_clock::Clock;
use tracing::trace;

use super::{builder::SemaphoreBuilder, state::State};
use crate::{
    PrimitiveState, Snapshot,
    meters::Meters,
    overdue::{Overdue, Thresholds},
    registry::Inspect,
    rt::{self, Mutex, MutexGuard},
};

/// What the semaphore, its owned permits and the registry share.
pub(super) struct Core {
    pub(super) name: String,
    pub(super) max_waiters: usize,
    pub(super) thresholds: Thresholds,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meters: Meters,
    state: Mutex<State>,
}

impl Core {
    pub(super) fn new(configured: SemaphoreBuilder) -> Self {
        Self {
            meters: Meters::new("semaphore", &configured.name),
            name: configured.name,
            max_waiters: configured.max_waiters,
            thresholds: configured.thresholds,
            clock: configured.clock,
            state: Mutex::new(State::new(configured.capacity)),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        rt::lock(&self.state)
    }

    /// Takes back what a holder has whose time is measured.
    #[inline(never)]
    pub(super) fn release(&self, holder: usize) {
        let now = self.clock.monotonic();
        let long_hold = self.thresholds.long_hold;
        let (wakes, overdue) = self.state().release(holder, now, long_hold);
        wakes.wake();
        if let Some(overdue) = overdue {
            self.report(overdue);
        }
    }

    /// Tells of a wait that ended with permits.
    pub(super) fn report_wait(&self, permits: usize, waited: Duration, overdue: Option<Overdue>) {
        match overdue {
            Some(overdue) => self.report(overdue),
            None => trace!(
                name = self.name,
                permits,
                ?waited,
                "permits acquired after a wait"
            ),
        }
        self.meters.waited(waited);
    }

    /// Tells of what takes too long.
    pub(super) fn report(&self, overdue: Overdue) {
        overdue.report(&self.name, None, &self.meters);
    }
}

impl Inspect for Core {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            state: PrimitiveState::Semaphore(self.snapshot()),
        }
    }

    fn look(&self) {
        let now = self.clock.monotonic();
        let (found, wakes) = self.state().look(now, &self.thresholds);
        wakes.wake();
        for overdue in found {
            self.report(overdue);
        }
    }
}
