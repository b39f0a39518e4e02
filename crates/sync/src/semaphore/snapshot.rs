use std::{cmp::Reverse, time::Duration};

use super::{
    core::Core,
    state::{Caller, Stage},
};
use crate::{CallSite, MAX_LISTED, MAX_LISTED_WAITERS, QueuedCaller};

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
    /// How many waits timed out so far.
    pub timeouts: u64,
    /// Who has permits, at most [`MAX_LISTED`], the longest held first.
    pub holders: Vec<PermitHolder>,
    /// The first who wait, at most [`MAX_LISTED_WAITERS`].
    pub queue: Vec<QueuedCaller>,
}

/// Somebody who has permits of a [`Semaphore`](crate::Semaphore).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PermitHolder {
    /// Where it called to acquire them.
    pub holder: CallSite,
    /// How many.
    pub permits: usize,
    /// Since when, in seconds where it is serialised; `None` if they were granted to a waiter that
    /// is yet to be polled. Acquiring free permits reads no clock: their time counts from when
    /// somebody first waited or looked.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::registry::seconds::some")
    )]
    pub held_for: Option<Duration>,
}

impl Core {
    pub(super) fn snapshot(&self) -> SemaphoreSnapshot {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.measure(now);
        let queue: Vec<_> = state
            .callers
            .iter(&state.queue)
            .take(MAX_LISTED_WAITERS)
            .map(|waiter| QueuedCaller {
                caller: CallSite::new(waiter.location),
                waited: waiter.age(now),
            })
            .collect();
        let is_holder =
            |caller: &&mut Caller| matches!(caller.stage, Stage::Holding | Stage::Granted { .. });
        let holders = state.callers.iter_mut().filter(is_holder);
        let mut holders: Vec<_> = holders
            .map(|caller| PermitHolder {
                holder: CallSite::new(caller.location),
                permits: caller.permits,
                held_for: (caller.stage == Stage::Holding).then(|| caller.age(now)),
            })
            .collect();
        let mut snapshot = SemaphoreSnapshot {
            capacity: state.capacity,
            in_use: state.in_use,
            waiting: state.queue.len(),
            oldest_wait: queue.first().map(|first| first.waited),
            acquired: state.acquired,
            timeouts: state.timeouts,
            holders: Vec::new(),
            queue,
        };
        drop(state);
        holders.sort_by_key(|holder| Reverse(holder.held_for));
        holders.truncate(MAX_LISTED);
        snapshot.holders = holders;
        snapshot
    }
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
