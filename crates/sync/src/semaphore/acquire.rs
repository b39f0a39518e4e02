use std::{
    future::poll_fn,
    ops::Deref,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tracing::{trace, warn};

use super::{Core, permit::Held, state::Outcome};
use crate::{
    AcquireError, TryAcquireError,
    timeout::{current_waker, timeout},
};

pub(super) fn try_acquire<R>(semaphore: R, permits: usize) -> Result<Held<R>, TryAcquireError>
where
    R: Deref<Target = Core>,
{
    {
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
        if !state.take(permits) {
            let (available, waiting) = (state.available(), state.queue.len());
            return Err(TryAcquireError::NoPermits { available, waiting });
        }
    }
    // Owned before the event, whose subscriber may panic.
    let held = Held::new(semaphore, permits);
    trace!(name = held.semaphore().name, permits, "permits acquired");
    Ok(held)
}

pub(super) async fn acquire<R>(semaphore: R, permits: usize) -> Result<Held<R>, AcquireError>
where
    R: Deref<Target = Core> + Clone,
{
    if let Some(outcome) = acquire_free(semaphore.clone(), permits) {
        return outcome;
    }
    let waker = current_waker().await;
    let mut ticket = enqueue(semaphore, permits, waker)?;
    poll_fn(|cx| ticket.poll(cx)).await
}

pub(super) async fn acquire_timeout<R>(
    semaphore: R,
    permits: usize,
    limit: Duration,
) -> Result<Held<R>, AcquireError>
where
    R: Deref<Target = Core> + Clone,
{
    if let Some(outcome) = acquire_free(semaphore.clone(), permits) {
        return outcome;
    }
    let waker = current_waker().await;
    let mut ticket = enqueue(semaphore.clone(), permits, waker)?;
    let wait = pin!(poll_fn(|cx| ticket.poll(cx)));
    if let Some(outcome) = timeout(limit, wait).await {
        return outcome;
    }
    let error = ticket.timed_out();
    warn!(name = semaphore.name, permits, %error, "permits not acquired");
    semaphore.meters.count("timeout");
    Err(error)
}

/// What can be said at once; `None` if the caller has to wait.
fn acquire_free<R>(semaphore: R, permits: usize) -> Option<Result<Held<R>, AcquireError>>
where
    R: Deref<Target = Core>,
{
    match try_acquire(semaphore, permits) {
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

fn enqueue<R>(semaphore: R, permits: usize, waker: Waker) -> Result<Ticket<R>, AcquireError>
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
    let waiter = state.enqueue(permits, now, waker);
    // Permits may have become free since the first look.
    let wakes = state.grant();
    drop(state);
    wakes.wake();
    Ok(Ticket {
        semaphore: Some(semaphore),
        waiter,
    })
}

/// A place in the queue. Dropping it gives the place up, and the permits if they had come.
struct Ticket<R: Deref<Target = Core>> {
    /// `None` once the ticket was turned into its outcome.
    semaphore: Option<R>,
    waiter: usize,
}

impl<R: Deref<Target = Core>> Ticket<R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Held<R>, AcquireError>> {
        let Some(semaphore) = &self.semaphore else {
            return Poll::Pending;
        };
        let waker = cx.waker().clone();
        let now = semaphore.clock.monotonic();
        let mut state = semaphore.state();
        let capacity = state.capacity;
        let Some((permits, outcome)) = state
            .waiters
            .get(self.waiter)
            .map(|waiter| (waiter.permits, waiter.outcome))
        else {
            drop(state);
            return Poll::Ready(Err(AcquireError::Closed));
        };
        if outcome == Outcome::Waiting {
            let old = state.waiters.set_waker(self.waiter, waker);
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        let removed = state.waiters.remove(self.waiter);
        drop(state);
        let waited = removed.as_ref().map_or(Duration::ZERO, |(waiter, _)| {
            now.saturating_duration_since(waiter.since)
        });
        drop((removed, waker));
        let Some(semaphore) = self.semaphore.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match outcome {
            Outcome::Granted => {
                let held = Held::new(semaphore, permits);
                held.semaphore().report_wait(waited, permits);
                Ok(held)
            }
            Outcome::ExceedsCapacity => Err(AcquireError::ExceedsCapacity {
                requested: permits,
                capacity,
            }),
            Outcome::Closed | Outcome::Waiting => Err(AcquireError::Closed),
        })
    }

    fn timed_out(&self) -> AcquireError {
        let mut error = AcquireError::Closed;
        if let Some(semaphore) = &self.semaphore {
            let now = semaphore.clock.monotonic();
            let state = semaphore.state();
            if let Some(waiter) = state.waiters.get(self.waiter)
                && waiter.outcome != Outcome::Closed
            {
                error = AcquireError::Timeout {
                    waited: now.saturating_duration_since(waiter.since),
                    queue_len: state.queue.len().saturating_sub(1),
                };
            }
        }
        error
    }
}

impl<R: Deref<Target = Core>> Drop for Ticket<R> {
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            let (wakes, unused) = semaphore.state().give_up(self.waiter);
            wakes.wake();
            drop(unused);
        }
    }
}
