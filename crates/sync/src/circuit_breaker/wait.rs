use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use steadfast_clock::Instant;
use tracing::warn;

use super::{BreakerChange, core::Core};
use crate::{
    MissedChanges, ReadyError,
    timeout::{current_waker, timeout},
    wait_queue::{Queue, Waiters, WakeList},
};

/// Those who wait: until the breaker lets callers through, or for its next change.
///
/// Being woken means to look again. Whoever looks in vain takes a new place.
#[derive(Debug)]
pub(super) struct Waits {
    waiters: Waiters<Waiter>,
    ready: Queue,
    change: Queue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiter {
    UntilReady,
    ForChange,
    Woken,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self {
            waiters: Waiters::new(),
            ready: Queue::new(),
            change: Queue::new(),
        }
    }

    /// How many wait until the breaker is ready.
    pub(super) fn until_ready(&self) -> usize {
        self.ready.len()
    }

    #[inline]
    pub(super) fn is_anybody_waiting(&self) -> bool {
        !(self.ready.is_empty() && self.change.is_empty())
    }

    /// All of them, and those who were woken and have not looked yet.
    pub(super) fn tracked(&self) -> usize {
        self.waiters.len()
    }

    fn enter(&mut self, waiter: Waiter, waker: Waker) -> usize {
        let queue = match waiter {
            Waiter::UntilReady => &mut self.ready,
            Waiter::ForChange | Waiter::Woken => &mut self.change,
        };
        self.waiters.push_back(queue, waker, waiter)
    }

    /// Those to wake after a change of state, or when the breaker lets callers through again.
    pub(super) fn take(&mut self, is_changed: bool, admits: bool) -> WakeList {
        let mut wakes = WakeList::default();
        if is_changed {
            Self::drain(&mut self.waiters, &mut self.change, &mut wakes);
        }
        if is_changed || admits {
            Self::drain(&mut self.waiters, &mut self.ready, &mut wakes);
        }
        wakes
    }

    fn drain(waiters: &mut Waiters<Waiter>, queue: &mut Queue, wakes: &mut WakeList) {
        while let Some(waiter) = waiters.pop_front(queue) {
            wakes.push(waiters.take_waker(waiter));
            if let Some(waiter) = waiters.get_mut(waiter) {
                *waiter = Waiter::Woken;
            }
        }
    }

    fn leave(&mut self, waiter: usize) -> Option<Waker> {
        match self.waiters.get(waiter)? {
            Waiter::UntilReady => self.waiters.unlink(&mut self.ready, waiter),
            Waiter::ForChange => self.waiters.unlink(&mut self.change, waiter),
            Waiter::Woken => {}
        }
        self.waiters.remove(waiter)?.1
    }
}

pub(super) async fn until_ready(core: &Core) -> Result<(), ReadyError> {
    let mut began = None;
    loop {
        let mut waker = Some(current_waker().await);
        let now = core.clock.monotonic();
        let place = {
            let (place, effects) = core.change(|state| {
                state.advance(now, &core.settings);
                if state.admits(&core.settings) {
                    return None;
                }
                let max_waiters = core.settings.max_waiters;
                if state.waits.until_ready() >= max_waiters {
                    return Some(Err(ReadyError::QueueFull { max_waiters }));
                }
                let waker = waker.take()?;
                let waiter = state.waits.enter(Waiter::UntilReady, waker);
                Some(Ok((Place { core, waiter }, state.changes_at())))
            });
            effects.tell(core);
            place.transpose()?
        };
        let Some((place, changes_at)) = place else {
            if let Some(began) = began {
                core.meters.waited(now.saturating_duration_since(began));
            }
            return Ok(());
        };
        began.get_or_insert(now);
        place.woken(now, changes_at).await;
    }
}

pub(super) async fn until_ready_timeout(core: &Core, limit: Duration) -> Result<(), ReadyError> {
    let began = core.clock.monotonic();
    if let Some(outcome) = timeout(limit, pin!(until_ready(core))).await {
        return outcome;
    }
    let now = core.clock.monotonic();
    let error = ReadyError::Timeout {
        waited: now.saturating_duration_since(began),
        retry_after: core.locked().retry_after(now),
    };
    warn!(name = core.name, %error, "circuit breaker not ready");
    core.meters.count("timeout");
    Err(error)
}

/// What a subscriber is told that has seen the changes so far, and how far it has then.
pub(super) async fn next_change(
    core: &Core,
    seen: u64,
) -> (Option<Result<BreakerChange, MissedChanges>>, u64) {
    loop {
        let mut waker = Some(current_waker().await);
        let now = core.clock.monotonic();
        let (look, effects) = core.change(|state| {
            if !state.is_dropped {
                state.advance(now, &core.settings);
            }
            if let Some((told, seen)) = state.log.after(seen) {
                return Err((Some(told), seen));
            }
            match waker.take() {
                Some(waker) if !state.is_dropped => {
                    let waiter = state.waits.enter(Waiter::ForChange, waker);
                    Ok((Place { core, waiter }, state.changes_at()))
                }
                _ => Err((None, seen)),
            }
        });
        effects.tell(core);
        match look {
            Ok((place, changes_at)) => place.woken(now, changes_at).await,
            Err(told) => return told,
        }
    }
}

/// A place among those who wait. Dropping it gives it up.
struct Place<'a> {
    core: &'a Core,
    waiter: usize,
}

impl Place<'_> {
    /// Waits until it is worth to look again: after a wake, or when time changes the state.
    async fn woken(self, now: Instant, changes_at: Option<Instant>) {
        let woken = pin!(poll_fn(|cx| self.poll(cx)));
        match changes_at {
            Some(at) => {
                timeout(at.saturating_duration_since(now), woken).await;
            }
            None => woken.await,
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = self.core.locked();
        let waiters = &mut state.waits.waiters;
        if waiters.get(self.waiter) == Some(&Waiter::Woken) {
            drop(state);
            return Poll::Ready(());
        }
        let old = waiters.set_waker(self.waiter, waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waker = self.core.locked().waits.leave(self.waiter);
        drop(waker);
    }
}
