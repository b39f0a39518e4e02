use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use steadfast_clock::Instant;

use super::{BreakerState, core::Core, wait};
use crate::MissedChanges;

/// How many changes of state a breaker keeps for subscribers that are slow.
pub const CHANGES_KEPT: usize = 128;

/// A change of a breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerChange {
    /// The state before.
    pub from: BreakerState,
    /// The state after. Closing a closed breaker by hand is a change too.
    pub to: BreakerState,
    /// The epoch that began with it. The first change has number 1, each the next number.
    pub epoch: u64,
    /// When it was, by the breaker's clock.
    pub at: Instant,
    /// Why it was.
    pub reason: BreakerReason,
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerReason {
    /// So many calls in a row failed.
    ConsecutiveFailures {
        /// How many.
        failures: u32,
    },
    /// Too many of the calls in the window failed.
    FailureRate {
        /// Those that failed.
        failures: u64,
        /// All of them.
        calls: u64,
    },
    /// Too many of the calls in the window were slow.
    SlowCallRate {
        /// Those that were slow.
        slow_calls: u64,
        /// All of them.
        calls: u64,
    },
    /// It was open for as long as it should be.
    OpenTimeOver,
    /// A call that was let through half-open failed.
    ProbeFailed,
    /// A call that was let through half-open was slow.
    ProbeSlow {
        /// How long it took.
        took: Duration,
    },
    /// There was no verdict in time on a call that was let through half-open.
    ProbeOverdue,
    /// As many calls succeeded half-open as were to.
    ProbesSucceeded,
    /// [`close`](crate::CircuitBreaker::close) or [`isolate`](crate::CircuitBreaker::isolate).
    ByHand,
}

/// The changes of a breaker's state from [`subscribe`](crate::CircuitBreaker::subscribe) on, in
/// their order.
///
/// It costs the breaker nothing while nobody waits in [`next`](Self::next). The breaker keeps the
/// last [`CHANGES_KEPT`]; a subscriber that is further behind is told how many it missed, and goes
/// on with the oldest that is kept.
pub struct BreakerChanges {
    core: Arc<Core>,
    /// The epoch of the last change that was told of or missed.
    seen: u64,
}

impl BreakerChanges {
    pub(super) fn new(core: Arc<Core>, seen: u64) -> Self {
        Self { core, seen }
    }

    /// The next change; `None` when the breaker was dropped and all were told.
    ///
    /// It makes those changes that are due by time itself: a breaker that somebody watches so
    /// turns half-open on time, though nobody calls.
    ///
    /// # Errors
    ///
    /// [`MissedChanges`], once for each gap. The subscription goes on behind it.
    ///
    /// # Panics
    ///
    /// If it has to wait for a time outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it loses no change, and leaves nothing behind.
    pub async fn next(&mut self) -> Option<Result<BreakerChange, MissedChanges>> {
        let (told, seen) = wait::next_change(&self.core, self.seen).await;
        self.seen = seen;
        told
    }
}

impl fmt::Debug for BreakerChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerChanges")
            .field("name", &self.core.name)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for BreakerReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BreakerReason::ConsecutiveFailures { failures } => {
                write!(f, "{failures} calls in a row failed")
            }
            BreakerReason::FailureRate { failures, calls } => {
                write!(f, "{failures} of {calls} calls failed")
            }
            BreakerReason::SlowCallRate { slow_calls, calls } => {
                write!(f, "{slow_calls} of {calls} calls were slow")
            }
            BreakerReason::OpenTimeOver => f.write_str("the open time is over"),
            BreakerReason::ProbeFailed => f.write_str("a probe failed"),
            BreakerReason::ProbeSlow { took } => write!(f, "a probe took {took:?}"),
            BreakerReason::ProbeOverdue => f.write_str("no verdict on a probe in time"),
            BreakerReason::ProbesSucceeded => f.write_str("the probes succeeded"),
            BreakerReason::ByHand => f.write_str("by hand"),
        }
    }
}

/// The last changes, by epoch.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    kept: VecDeque<BreakerChange>,
}

impl ChangeLog {
    pub(super) fn push(&mut self, change: BreakerChange) {
        if self.kept.len() == CHANGES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(change);
    }

    /// The change that began this epoch.
    pub(super) fn of(&self, epoch: u64) -> Option<BreakerChange> {
        let oldest = self.kept.front()?.epoch;
        let index = epoch.checked_sub(oldest)?;
        self.kept.get(usize::try_from(index).ok()?).copied()
    }

    /// What a subscriber is told that has seen so far, and how far it has then.
    pub(super) fn after(&self, seen: u64) -> Option<(Result<BreakerChange, MissedChanges>, u64)> {
        let oldest = self.kept.front()?.epoch;
        if oldest > seen + 1 {
            let missed = oldest - 1 - seen;
            return Some((Err(MissedChanges { missed }), oldest - 1));
        }
        self.of(seen + 1).map(|change| (Ok(change), seen + 1))
    }
}
