use std::{
    mem,
    ops::Deref,
    panic::Location,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tracing::{trace, warn};

use super::{
    core::Core,
    permit::Held,
    state::{Polled, Stage},
};
use crate::{
    AcquireError, TryAcquireError,
    overdue::Timing,
    timeout::{Patience, current_waker, timeout},
    turn::{Turn, turn},
};

type Caller = &'static Location<'static>;

pub(super) fn try_acquire<R>(
    semaphore: R,
    permits: usize,
    caller: Caller,
) -> Result<Held<R>, TryAcquireError>
where
    R: Deref<Target = Core>,
{
    let holder = {
        let mut state = semaphore.state();
        let capacity = state.capacity;
        if state.closed {
            return Err(TryAcquireError::Closed);
        }
        if permits == 0 {
            return Err(TryAcquireError::ZeroPermits);
        }
        if permits > capacity {
            let requested = permits;
            return Err(TryAcquireError::ExceedsCapacity {
                requested,
                capacity,
            });
        }
        let Some(holder) = state.take(permits, caller) else {
            let (available, waiting) = (state.available(), state.queue.len());
            return Err(TryAcquireError::NoPermits { available, waiting });
        };
        holder
    };
    // Owned before the event, whose subscriber may panic.
    let held = Held::new(semaphore, permits, holder, Timing::Unmeasured);
    let name = &held.semaphore().name;
    trace!(name, permits, %caller, "permits acquired");
    Ok(held)
}

pub(super) async fn acquire<R>(
    semaphore: R,
    permits: usize,
    caller: Caller,
) -> Result<Held<R>, AcquireError>
where
    R: Deref<Target = Core> + Clone,
{
    if let Some(outcome) = acquire_free(semaphore.clone(), permits, caller) {
        return outcome;
    }
    let waker = current_waker().await;
    let grace = semaphore.thresholds.grace;
    let mut ticket = enqueue(semaphore, permits, caller, waker)?;
    turn(&mut ticket, grace).await
}

pub(super) async fn acquire_within<R>(
    semaphore: R,
    permits: usize,
    patience: Patience,
    caller: Caller,
) -> Result<Held<R>, AcquireError>
where
    R: Deref<Target = Core> + Clone,
{
    if let Some(outcome) = acquire_free(semaphore.clone(), permits, caller) {
        return outcome;
    }
    let waker = current_waker().await;
    let grace = semaphore.thresholds.grace;
    let limit = patience.left(&*semaphore.clock);
    let mut ticket = enqueue(semaphore.clone(), permits, caller, waker)?;
    let outcome = {
        let wait = pin!(turn(&mut ticket, grace));
        timeout(limit, wait).await
    };
    if let Some(outcome) = outcome {
        return outcome;
    }
    let error = ticket.timed_out();
    warn!(name = semaphore.name, permits, %caller, %error, "permits not acquired");
    semaphore.meters.count("timeout");
    Err(error)
}

/// What can be said at once; `None` if the caller has to wait.
fn acquire_free<R>(
    semaphore: R,
    permits: usize,
    caller: Caller,
) -> Option<Result<Held<R>, AcquireError>>
where
    R: Deref<Target = Core>,
{
    match try_acquire(semaphore, permits, caller) {
        Ok(held) => Some(Ok(held)),
        Err(TryAcquireError::NoPermits { .. }) => None,
        Err(TryAcquireError::ZeroPermits) => Some(Err(AcquireError::ZeroPermits)),
        Err(TryAcquireError::ExceedsCapacity {
            requested,
            capacity,
        }) => Some(Err(AcquireError::ExceedsCapacity {
            requested,
            capacity,
        })),
        Err(TryAcquireError::Closed) => Some(Err(AcquireError::Closed)),
    }
}

fn enqueue<R>(
    semaphore: R,
    permits: usize,
    caller: Caller,
    waker: Waker,
) -> Result<Ticket<R>, AcquireError>
where
    R: Deref<Target = Core>,
{
    let now = semaphore.clock.monotonic();
    let max_waiters = semaphore.max_waiters;
    let mut state = semaphore.state();
    let refused = if state.closed {
        Some(AcquireError::Closed)
    } else if permits > state.capacity {
        Some(AcquireError::ExceedsCapacity {
            requested: permits,
            capacity: state.capacity,
        })
    } else if state.queue.len() >= max_waiters {
        Some(AcquireError::QueueFull { max_waiters })
    } else {
        None
    };
    if let Some(error) = refused {
        drop(state);
        return Err(error);
    }
    let waiter = state.enqueue(permits, caller, now, waker);
    // Permits may have become free since the first look.
    let wakes = state.grant(now);
    drop(state);
    wakes.wake();
    Ok(Ticket {
        semaphore: Some(semaphore),
        waiter,
        is_fresh: true,
    })
}

/// A place in the queue. Dropping it gives the place up, and the permits if they had come.
struct Ticket<R: Deref<Target = Core>> {
    /// `None` once the ticket was turned into its outcome.
    semaphore: Option<R>,
    waiter: usize,
    /// Whether it was made in the poll that is going on, whose waker it has: whatever happened to
    /// it since has woken that, and need not be looked for.
    is_fresh: bool,
}

impl<R: Deref<Target = Core>> Turn for Ticket<R> {
    type Outcome = Result<Held<R>, AcquireError>;

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Self::Outcome> {
        if mem::take(&mut self.is_fresh) {
            return Poll::Pending;
        }
        let Some(semaphore) = &self.semaphore else {
            return Poll::Pending;
        };
        let mut waker = None;
        let polled = loop {
            let mut state = semaphore.state();
            let long_wait = semaphore.thresholds.long_wait;
            let polled = state.poll(self.waiter, cx.waker(), &mut waker, long_wait);
            drop(state);
            match polled {
                Polled::NeedsWaker => waker = Some(cx.waker().clone()),
                polled => break polled,
            }
        };
        if matches!(polled, Polled::Waiting) {
            return Poll::Pending;
        }
        let Some(semaphore) = self.semaphore.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match polled {
            Polled::Acquired {
                permits,
                waited,
                overdue,
            } => {
                // Owned before the event, whose subscriber may panic.
                let held = Held::new(semaphore, permits, self.waiter, Timing::Measured);
                held.semaphore().report_wait(permits, waited, overdue);
                Ok(held)
            }
            Polled::ExceedsCapacity {
                requested,
                capacity,
            } => Err(AcquireError::ExceedsCapacity {
                requested,
                capacity,
            }),
            Polled::Closed | Polled::Waiting | Polled::NeedsWaker => Err(AcquireError::Closed),
        })
    }

    fn look_ahead(&self) -> Duration {
        let Some(semaphore) = &self.semaphore else {
            return Duration::MAX;
        };
        let now = semaphore.clock.monotonic();
        let (unclaimed, found, wakes) = {
            let mut state = semaphore.state();
            state.look_at_grants(now, &semaphore.thresholds)
        };
        wakes.wake();
        for overdue in found {
            semaphore.report(overdue);
        }
        semaphore.thresholds.next_look(unclaimed)
    }
}

impl<R: Deref<Target = Core>> Ticket<R> {
    fn timed_out(&self) -> AcquireError {
        let mut error = AcquireError::Closed;
        if let Some(semaphore) = &self.semaphore {
            let now = semaphore.clock.monotonic();
            let mut state = semaphore.state();
            if let Some(waiter) = state.callers.get(self.waiter)
                && waiter.stage != Stage::Closed
            {
                error = AcquireError::Timeout {
                    waited: waiter.age(now),
                    queue_len: state.queue.len().saturating_sub(1),
                };
                state.timeouts += 1;
            }
        }
        error
    }
}

impl<R: Deref<Target = Core>> Drop for Ticket<R> {
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            let now = semaphore.clock.monotonic();
            let (wakes, unused) = semaphore.state().give_up(self.waiter, now);
            wakes.wake();
            drop(unused);
        }
    }
}
