use std::{fmt, future::Future, sync::Arc, time::Duration};

use tracing::trace;

use self::core::Core;
use crate::{BreakerOpen, CallError, ReadyError};

mod builder;
mod changes;
mod core;
mod permit;
mod snapshot;
mod state;
mod wait;
mod window;

pub use self::{
    builder::CircuitBreakerBuilder,
    changes::{BreakerChange, BreakerChanges, BreakerReason, CHANGES_KEPT},
    permit::BreakerPermit,
    snapshot::CircuitBreakerSnapshot,
};

/// Stops calls to something that keeps failing or has become slow, and lets a few through to see
/// whether it is back.
///
/// The states are those of M. Nygard, *Release It!*, chapter *Stability Patterns*.
///
/// # Guarantees
///
/// - Closed, it lets everybody through, and opens at the first call that fails or is slow while
///   one of its conditions is met: so many failures in a row, or a rate of failures or of slow
///   calls over a window of calls or of time. A verdict costs O(1), and memory is bounded.
/// - Half-open, it never has more than `half_open_permits` permits out or succeeded; one call that
///   fails or is slow opens it again, and that many successes close it. It opens again, too, when
///   a permit is out for `half_open_for`; while none is out it waits for the next caller.
/// - A permit carries the epoch in which it was given: its verdict counts only while the breaker
///   is in that epoch. A late one is [`Verdict::Stale`] and changes nothing but a counter.
/// - A permit that is dropped without a verdict frees its slot at once.
/// - Time changes the state when somebody looks: a caller, [`state`](Self::state), whoever waits
///   in [`until_ready`](Self::until_ready) or [`BreakerChanges::next`], a watch of the registry.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use steadfast_sync::{BreakerState, CircuitBreaker};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder()
///     .consecutive_failures(2)
///     .failure_rate(0.5)
///     .slow_call_rate(0.8, Duration::from_secs(2))
///     .time_window(Duration::from_secs(30))
///     .minimum_calls(10)
///     .build()?;
/// breaker.try_acquire()?.failure();
/// breaker.try_acquire()?.failure();
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert!(breaker.try_acquire().is_err());
/// # Ok(()) }
/// ```
pub struct CircuitBreaker {
    core: Arc<Core>,
}

/// Whom a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
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

impl CircuitBreaker {
    /// Configures a breaker.
    #[must_use]
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new()
    }

    /// Leave to make one call now.
    ///
    /// # Errors
    ///
    /// [`BreakerOpen`] while it is open or isolated, or half-open with all permits given out.
    #[inline]
    pub fn try_acquire(&self) -> Result<BreakerPermit<'_>, BreakerOpen> {
        let core = &*self.core;
        if let Some(epoch) = core.closed_epoch() {
            // The time is of interest only if calls can be slow.
            let times_calls = core.settings.slow_calls.is_some();
            let admitted_at = times_calls.then(|| core.clock.monotonic());
            return Ok(BreakerPermit::new(core, epoch, admitted_at));
        }
        let now = core.clock.monotonic();
        let (admission, effects) = core.change(|state| state.admit(now, &core.settings));
        // Owned before the effects, which run the code of others.
        let admission = match admission {
            Ok(epoch) => Ok(BreakerPermit::new(core, epoch, Some(now))),
            Err(retry_after) => Err(BreakerOpen { retry_after }),
        };
        effects.tell(core);
        if let Err(BreakerOpen { retry_after }) = &admission {
            trace!(name = core.name, ?retry_after, "call not admitted");
        }
        admission
    }

    /// Runs a call if the breaker lets it through; `is_failure` says which errors count as
    /// failures, the others count as successes. A call that panics is abandoned.
    ///
    /// For what neither succeeds nor fails, or fails with an `Ok`, use
    /// [`try_acquire`](Self::try_acquire).
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

    /// Waits until the breaker would let a caller through: it is closed, or half-open with a free
    /// slot. No call is needed for that: the wait itself turns an open breaker half-open on time.
    /// While it is isolated it waits for [`close`](Self::close).
    ///
    /// It gives no permit. All who wait are woken together, and one of them may have taken the
    /// slot before another comes; then wait again:
    ///
    /// ```
    /// # use steadfast_sync::{BreakerPermit, CircuitBreaker, ReadyError};
    /// async fn acquire(breaker: &CircuitBreaker) -> Result<BreakerPermit<'_>, ReadyError> {
    ///     loop {
    ///         breaker.until_ready().await?;
    ///         if let Ok(permit) = breaker.try_acquire() {
    ///             return Ok(permit);
    ///         }
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let breaker = CircuitBreaker::builder().build().unwrap();
    /// # acquire(&breaker).await.unwrap().success();
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReadyError::QueueFull`].
    ///
    /// # Panics
    ///
    /// If it has to wait for a time outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped while it waits, it leaves nothing behind.
    pub async fn until_ready(&self) -> Result<(), ReadyError> {
        wait::until_ready(&self.core).await
    }

    /// As [`until_ready`](Self::until_ready), and gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// [`ReadyError::Timeout`] and [`ReadyError::QueueFull`].
    ///
    /// # Panics
    ///
    /// As [`until_ready`](Self::until_ready).
    ///
    /// # Cancel safety
    ///
    /// As [`until_ready`](Self::until_ready).
    pub async fn until_ready_timeout(&self, timeout: Duration) -> Result<(), ReadyError> {
        wait::until_ready_timeout(&self.core, timeout).await
    }

    /// The changes of state from now on, in their order.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_sync::{BreakerReason, BreakerState, CircuitBreaker};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let breaker = CircuitBreaker::builder().build()?;
    /// let mut changes = breaker.subscribe();
    /// breaker.isolate();
    /// drop(breaker);
    /// while let Some(change) = changes.next().await {
    ///     let change = change?;
    ///     assert_eq!((change.to, change.reason), (BreakerState::Isolated, BreakerReason::ByHand));
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> BreakerChanges {
        let seen = self.core.locked().epoch;
        BreakerChanges::new(Arc::clone(&self.core), seen)
    }

    /// The state at this moment.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.core.change_now(|state, now, settings| {
            state.advance(now, settings);
            state.name()
        })
    }

    /// Closes the breaker by hand, with nothing counted; permits that are out become stale.
    pub fn close(&self) {
        let reason = BreakerReason::ByHand;
        self.core
            .change_now(|state, now, settings| state.close(now, settings, reason));
    }

    /// Keeps everybody out until [`close`](Self::close); permits that are out become stale.
    pub fn isolate(&self) {
        self.core.change_now(|state, now, _| state.isolate(now));
    }

    /// How many verdicts came too late to count.
    #[must_use]
    pub fn stale_verdicts(&self) -> u64 {
        self.core.locked().stale_verdicts
    }

    /// The name given to the builder, empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// All that can be seen of it, at one moment.
    #[must_use]
    pub fn snapshot(&self) -> CircuitBreakerSnapshot {
        self.core.snapshot()
    }
}

impl Drop for CircuitBreaker {
    fn drop(&mut self) {
        let wakes = {
            let mut state = self.core.locked();
            state.is_dropped = true;
            state.waits.take(true, true)
        };
        wakes.wake();
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.core.locked();
        f.debug_struct("CircuitBreaker")
            .field("name", &self.core.name)
            .field("phase", &state.phase)
            .field("epoch", &state.epoch)
            .field("waiting", &state.waits.until_ready())
            .field("tracked_waiters", &state.waits.tracked())
            .finish_non_exhaustive()
    }
}
