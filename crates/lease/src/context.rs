use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use steadfast_clock::{Clock, Instant};
use tokio_util::sync::CancellationToken;

use crate::{Grant, LeaseLost, LossReason};

/// What work under a lease gets: its fence, its cancellation, and the question whether the lease
/// still holds.
#[derive(Clone, Debug)]
pub struct LeaseContext {
    holding: Arc<Holding>,
}

impl LeaseContext {
    pub(crate) fn new(holding: Arc<Holding>) -> Self {
        Self { holding }
    }

    /// What is leased.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.holding.key
    }

    /// The fencing token, the same for the whole of the work: higher than that of every earlier
    /// holder. A target that refuses lower ones than it has seen is safe even from a holder that
    /// was asleep when its lease expired.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.holding.fence
    }

    /// Cancelled when the lease is lost or so near to its expiry that the work must end, and when
    /// an [`Elector`](crate::Elector) resigns.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.holding.token
    }

    /// Asks, by the clock and not only by the cancellation, whether the lease still holds; to be
    /// called before every side effect.
    ///
    /// It does not make a side effect safe that takes longer than the margin: send the
    /// [`fence`](Self::fence) along.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`], and from then on always.
    pub fn check(&self) -> Result<(), LeaseLost> {
        self.holding.check()
    }

    /// How long the lease holds if it is not renewed any more, less the margin; zero once it is
    /// lost or resigned.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.holding.remaining()
    }

    pub(crate) fn holding(&self) -> &Arc<Holding> {
        &self.holding
    }
}

/// A lease in use: what the work and its renewal share.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) key: Arc<str>,
    pub(crate) fence: u64,
    pub(crate) token: CancellationToken,
    clock: Arc<dyn Clock>,
    margin: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    valid_until: Instant,
    lost: Option<LossReason>,
}

impl Holding {
    pub(crate) fn new(grant: &Grant, clock: Arc<dyn Clock>, margin: Duration) -> Self {
        Self {
            key: Arc::clone(&grant.key),
            fence: grant.fence,
            token: CancellationToken::new(),
            clock,
            margin,
            state: Mutex::new(State {
                valid_until: grant.valid_until,
                lost: None,
            }),
        }
    }

    pub(crate) fn check(&self) -> Result<(), LeaseLost> {
        if self.remaining().is_zero() {
            self.lose(LossReason::Expired);
        }
        match self.with(|state| state.lost.clone()) {
            None => Ok(()),
            Some(reason) => Err(LeaseLost {
                key: Arc::clone(&self.key),
                fence: self.fence,
                reason,
            }),
        }
    }

    /// What the work may count on: nothing once it was told to end.
    pub(crate) fn remaining(&self) -> Duration {
        match self.with(|state| state.lost.is_some()) {
            true => Duration::ZERO,
            false => self.renewable(),
        }
    }

    /// What the renewal may count on: a lease that was resigned is held until the work has
    /// returned.
    pub(crate) fn renewable(&self) -> Duration {
        let now = self.clock.monotonic();
        self.with(|state| match state.lost {
            None | Some(LossReason::Resigned) => state
                .valid_until
                .saturating_duration_since(now)
                .saturating_sub(self.margin),
            Some(_) => Duration::ZERO,
        })
    }

    pub(crate) fn extend(&self, renewed: &Grant) {
        self.with(|state| state.valid_until = renewed.valid_until);
    }

    /// Tells the work to end, for the first reason given. For all but
    /// [`Resigned`](LossReason::Resigned) the lease is given up, too.
    pub(crate) fn lose(&self, reason: LossReason) {
        self.with(|state| {
            state.lost.get_or_insert(reason);
        });
        self.token.cancel();
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gives a holding up when it is dropped: by a return, a panic or a drop of what owns it.
pub(crate) struct LoseOnDrop {
    pub(crate) holding: Arc<Holding>,
    pub(crate) reason: LossReason,
}

impl Drop for LoseOnDrop {
    fn drop(&mut self) {
        self.holding.lose(self.reason.clone());
    }
}
