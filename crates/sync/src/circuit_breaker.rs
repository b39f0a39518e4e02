use std::{future::Future, sync::Arc};

use steadfast_clock::Clock;
use tracing::{debug, info, warn};

use self::state::{Admission, Phase, Settings, State};
use crate::{
    BreakerOpen, CallError,
    rt::{self, Mutex, MutexGuard},
};

mod builder;
mod permit;
mod state;

pub use self::{builder::CircuitBreakerBuilder, permit::BreakerPermit};

/// Stops calls to something that keeps failing, and lets a few through to see whether it is back.
///
/// # Guarantees
///
/// - Closed, it lets everybody through and opens after so many failures in a row.
/// - Half-open, it never has more than `half_open_permits` permits out or succeeded; one failure
///   opens it again, and that many successes close it. It opens again, too, when a permit is out
///   for `half_open_for`; while none is out it waits for the next caller.
/// - A permit carries the epoch in which it was given: its verdict counts only while the breaker
///   is in that epoch. A late one is [`Verdict::Stale`] and changes nothing but a counter.
/// - A permit that is dropped without a verdict frees its slot at once.
///
/// # Examples
///
/// ```
/// use steadfast_sync::{BreakerState, CircuitBreaker};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder().consecutive_failures(2).build()?;
/// breaker.try_acquire()?.failure();
/// breaker.try_acquire()?.failure();
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert!(breaker.try_acquire().is_err());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CircuitBreaker {
    name: String,
    settings: Settings,
    on_abandon: AbandonPolicy,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// Whom a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everybody.
    Closed,
    /// Nobody, for some time.
    Open,
    /// As many as it takes to see whether the calls succeed again.
    HalfOpen,
    /// Nobody, until it is closed by hand.
    Isolated,
}

/// What became of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counted.
    Counted,
    /// The breaker has changed its state since the permit was given; it had no effect.
    Stale,
}

/// What a permit counts for that was dropped without a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AbandonPolicy {
    /// Nothing: the caller lost interest.
    #[default]
    Ignore,
    /// A failure: callers drop what takes too long.
    Failure,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Success,
    Failure,
    Abandoned,
}

impl CircuitBreaker {
    /// Configures a breaker.
    #[must_use]
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new()
    }

    fn from_parts(
        name: String,
        settings: Settings,
        on_abandon: AbandonPolicy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name,
            settings,
            on_abandon,
            clock,
            state: Mutex::new(State::new()),
        }
    }

    /// Leave to make one call now.
    ///
    /// # Errors
    ///
    /// [`BreakerOpen`] while it is open or isolated, or half-open with all permits given out.
    pub fn try_acquire(&self) -> Result<BreakerPermit<'_>, BreakerOpen> {
        if let Some(epoch) = self.closed_epoch() {
            return Ok(BreakerPermit::new(self, epoch));
        }
        let now = self.clock.monotonic();
        match self.change(|state| state.admit(now, &self.settings)) {
            Admission::Admitted { epoch } => Ok(BreakerPermit::new(self, epoch)),
            Admission::Refused { retry_after } => Err(BreakerOpen { retry_after }),
        }
    }

    /// Runs a call if the breaker lets it through; `is_failure` says which errors count as
    /// failures, the others count as successes.
    ///
    /// # Errors
    ///
    /// [`CallError::Open`] if the call was not let through, else [`CallError::Failed`] with its
    /// own error.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it drops the call and abandons its permit.
    pub async fn call<T, E, F>(
        &self,
        call: F,
        is_failure: impl FnOnce(&E) -> bool,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let permit = self.try_acquire().map_err(CallError::Open)?;
        match call.await {
            Err(error) if is_failure(&error) => {
                permit.failure();
                Err(CallError::Failed(error))
            }
            outcome => {
                permit.success();
                outcome.map_err(CallError::Failed)
            }
        }
    }

    /// The state at this moment.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        let now = self.clock.monotonic();
        self.change(|state| {
            state.advance(now, &self.settings);
            name_of(state.phase)
        })
    }

    /// Closes the breaker by hand; permits that are out become stale.
    pub fn close(&self) {
        self.change(|state| state.enter(Phase::Closed { failures: 0 }));
    }

    /// Keeps everybody out until [`close`](Self::close); permits that are out become stale.
    pub fn isolate(&self) {
        self.change(|state| state.enter(Phase::Isolated));
    }

    /// How many verdicts came too late to count.
    #[must_use]
    pub fn stale_verdicts(&self) -> u64 {
        self.locked().stale_verdicts
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn judge(&self, epoch: u64, judgement: Judgement) -> Verdict {
        let is_failure = judgement == Judgement::Failure
            || (judgement == Judgement::Abandoned && self.on_abandon == AbandonPolicy::Failure);
        let now = is_failure.then(|| self.clock.monotonic());
        self.change(|state| {
            if state.epoch != epoch {
                if judgement != Judgement::Abandoned {
                    state.stale_verdicts += 1;
                }
                return Verdict::Stale;
            }
            match (judgement, now) {
                (_, Some(now)) => state.fail(now, &self.settings),
                (Judgement::Success, None) => state.succeed(&self.settings),
                (_, None) => state.abandon(),
            }
            Verdict::Counted
        })
    }

    /// The epoch, if everybody is let through: a closed breaker reads no clock.
    fn closed_epoch(&self) -> Option<u64> {
        let state = self.locked();
        matches!(state.phase, Phase::Closed { .. }).then_some(state.epoch)
    }

    /// Changes the state and reports what it became, after the mutex is released.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.locked();
        let (epoch, before) = (state.epoch, state.phase);
        let result = change(&mut state);
        let (changed, after) = (state.epoch != epoch, state.phase);
        drop(state);
        if changed {
            self.report(name_of(before), name_of(after));
        }
        result
    }

    fn report(&self, from: BreakerState, to: BreakerState) {
        let name = self.name();
        match to {
            BreakerState::Open => warn!(name, ?from, "circuit breaker open"),
            BreakerState::Isolated => warn!(name, ?from, "circuit breaker isolated"),
            BreakerState::HalfOpen => debug!(name, ?from, "circuit breaker half-open"),
            BreakerState::Closed => info!(name, ?from, "circuit breaker closed"),
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        rt::lock(&self.state)
    }
}

fn name_of(phase: Phase) -> BreakerState {
    match phase {
        Phase::Closed { .. } => BreakerState::Closed,
        Phase::Open { .. } => BreakerState::Open,
        Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        Phase::Isolated => BreakerState::Isolated,
    }
}
