use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, Instant};
use tracing::{debug, info, warn};

use super::{
    BreakerChange, BreakerState, CircuitBreakerSnapshot, Verdict,
    state::{Judgement, Phase, Settings, State},
};
use crate::{
    PrimitiveState, Snapshot,
    meters::Meters,
    registry::Inspect,
    rt::{
        self, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    wait_queue::WakeList,
};

/// What the breaker, its subscribers and the registry share.
pub(super) struct Core {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meters: Meters,
    state: Mutex<State>,
    /// The epoch while everybody is let through, else [`NOT_CLOSED`]. It follows the state under
    /// its mutex, so that a caller of a closed breaker needs no mutex.
    closed_epoch: AtomicU64,
}

const NOT_CLOSED: u64 = u64::MAX;

/// What is to be told when the mutex is released.
#[must_use]
pub(super) struct Effects(Option<Told>);

struct Told {
    change: Option<BreakerChange>,
    wakes: WakeList,
}

impl Core {
    pub(super) fn new(name: String, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let state = State::new(clock.monotonic(), &settings);
        Self {
            meters: Meters::new("circuit_breaker", &name),
            name,
            settings,
            clock,
            closed_epoch: AtomicU64::new(state.epoch),
            state: Mutex::new(state),
        }
    }

    #[inline]
    pub(super) fn judge(
        &self,
        epoch: u64,
        judgement: Judgement,
        admitted_at: Option<Instant>,
    ) -> Verdict {
        let settings = &self.settings;
        let needs_time =
            admitted_at.is_some() || settings.is_timed() || settings.is_failure(judgement);
        let now = needs_time.then(|| self.clock.monotonic());
        let took = match (admitted_at, now) {
            (Some(then), Some(now)) => now.saturating_duration_since(then),
            _ => Duration::ZERO,
        };
        let (verdict, effects) =
            self.change(|state| state.judge(epoch, judgement, took, now, settings));
        effects.tell(self);
        verdict
    }

    /// The epoch, if everybody is let through.
    #[inline]
    pub(super) fn closed_epoch(&self) -> Option<u64> {
        let epoch = self.closed_epoch.load(Ordering::Acquire);
        (epoch != NOT_CLOSED).then_some(epoch)
    }

    /// Changes the state as it is at this moment, and tells of it.
    pub(super) fn change_now<R>(
        &self,
        change: impl FnOnce(&mut State, Instant, &Settings) -> R,
    ) -> R {
        let now = self.clock.monotonic();
        let (result, effects) = self.change(|state| change(state, now, &self.settings));
        effects.tell(self);
        result
    }

    /// Changes the state, by one phase at most. The caller tells of it once it owns the result:
    /// the effects run the code of others.
    #[inline]
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> (R, Effects) {
        let mut state = self.locked();
        let epoch = state.epoch;
        let result = change(&mut state);
        let is_changed = state.epoch != epoch;
        let has_effects = is_changed || state.waits.is_anybody_waiting();
        let effects = Effects(has_effects.then(|| self.told(&mut state, is_changed)));
        drop(state);
        (result, effects)
    }

    #[cold]
    fn told(&self, state: &mut State, is_changed: bool) -> Told {
        let mut change = None;
        if is_changed {
            change = state.log.of(state.epoch);
            let is_closed = matches!(state.phase, Phase::Closed);
            let closed_epoch = if is_closed { state.epoch } else { NOT_CLOSED };
            self.closed_epoch.store(closed_epoch, Ordering::Release);
        }
        let wakes = state.waits.take(is_changed, state.admits(&self.settings));
        Told { change, wakes }
    }

    pub(super) fn snapshot(&self) -> CircuitBreakerSnapshot {
        self.change_now(|state, now, settings| {
            state.advance(now, settings);
            state.snapshot(now, settings)
        })
    }

    #[inline]
    pub(super) fn locked(&self) -> MutexGuard<'_, State> {
        rt::lock(&self.state)
    }

    #[cold]
    fn tell(&self, told: Told) {
        told.wakes.wake();
        if let Some(change) = told.change {
            self.report(change);
        }
    }

    fn report(&self, change: BreakerChange) {
        let BreakerChange {
            from,
            to,
            epoch,
            reason,
            ..
        } = change;
        let name = &self.name;
        let event = match to {
            BreakerState::Open => {
                warn!(name, epoch, ?from, %reason, "circuit breaker open");
                "open"
            }
            BreakerState::Isolated => {
                warn!(name, epoch, ?from, %reason, "circuit breaker isolated");
                "isolated"
            }
            BreakerState::HalfOpen => {
                debug!(name, epoch, ?from, %reason, "circuit breaker half-open");
                "half_open"
            }
            BreakerState::Closed => {
                info!(name, epoch, ?from, %reason, "circuit breaker closed");
                "closed"
            }
        };
        self.meters.count(event);
    }
}

impl Effects {
    #[inline]
    pub(super) fn tell(self, core: &Core) {
        if let Some(told) = self.0 {
            core.tell(told);
        }
    }
}

impl Inspect for Core {
    fn inspect(&self) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            state: PrimitiveState::CircuitBreaker(self.snapshot()),
        }
    }

    fn look(&self) {
        self.change_now(|state, now, settings| state.advance(now, settings));
    }
}
