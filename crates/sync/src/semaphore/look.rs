//! What takes too long.

use std::time::Duration;

use steadfast_clock::Instant;

use super::state::{Stage, State};
use crate::{
    config::REPORTS_A_LOOK,
    overdue::{Overdue, Thresholds, What},
    wait_queue::WakeList,
};

impl State {
    /// Looks at the oldest grants that are not claimed; says how long the oldest has been. Each is
    /// reported once, and taken back if that is wanted and somebody waits: its waiter keeps a
    /// place, at the end of the queue, and was woken and need not be woken again.
    pub(super) fn look_at_grants(
        &mut self,
        now: Instant,
        limits: &Thresholds,
    ) -> (Duration, Vec<Overdue>, WakeList) {
        let (mut found, mut wakes) = (Vec::new(), WakeList::default());
        let oldest = self
            .unclaimed
            .front()
            .and_then(|first| self.callers.get(first));
        let oldest = oldest.map_or(Duration::ZERO, |first| first.age(now));
        let revoked = limits.revoke && !self.queue.is_empty();
        let waiting = self.queue.len();
        let mut next = self.unclaimed.front();
        while let Some(waiter) = next
            && found.len() < REPORTS_A_LOOK
        {
            next = self.callers.next(waiter);
            let Some(caller) = self.callers.get_mut(waiter) else {
                break;
            };
            let Some(unclaimed) = caller.since.and_then(|since| limits.unclaimed(since, now))
            else {
                break;
            };
            found.extend(caller.overdue(What::Unclaimed { revoked }, unclaimed, waiting));
            if revoked {
                self.revoke(waiter, now);
            }
        }
        if revoked {
            self.grant_into(&mut wakes, now);
        }
        (oldest, found, wakes)
    }

    fn revoke(&mut self, waiter: usize, now: Instant) {
        let Some(caller) = self.callers.get_mut(waiter) else {
            return;
        };
        if let Stage::Granted {
            waited,
            is_reported,
        } = caller.stage
        {
            let unclaimed = caller.age(now);
            caller.since = now.checked_sub(waited + unclaimed).or(Some(now));
            caller.is_reported = is_reported;
        }
        caller.stage = Stage::Waiting;
        self.in_use = self.in_use.saturating_sub(caller.permits);
        self.callers.unlink(&mut self.unclaimed, waiter);
        self.callers.link_back(&mut self.queue, waiter);
    }

    /// Looks at everything for what takes too long, of the queue at its head.
    pub(super) fn look(&mut self, now: Instant, limits: &Thresholds) -> (Vec<Overdue>, WakeList) {
        self.measure(now);
        let waiting = self.queue.len();
        let (_, mut found, wakes) = self.look_at_grants(now, limits);
        for caller in self.callers.iter_mut() {
            if found.len() >= REPORTS_A_LOOK {
                break;
            }
            let age = caller.age(now);
            if caller.stage == Stage::Holding && age >= limits.long_hold {
                found.extend(caller.overdue(What::Hold, age, waiting));
            }
        }
        let first = self.queue.front();
        if let Some(first) = first.and_then(|first| self.callers.get_mut(first)) {
            let waited = first.age(now);
            if waited >= limits.long_wait {
                found.extend(first.overdue(What::Wait, waited, waiting));
            }
        }
        (found, wakes)
    }
}
