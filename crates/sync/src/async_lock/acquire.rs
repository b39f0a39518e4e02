use std::{
    hash::Hash,
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
    guard::Held,
    shard::{Claim, Outcome, Polled, Shard, Waiter},
};
use crate::{
    LockError, TryLockError,
    overdue::Timing,
    timeout::{Patience, current_waker, timeout},
    turn::{Turn, turn},
};

type Caller = &'static Location<'static>;

/// Owns the key if it is free. Since a key with waiters has an owner, this never barges.
pub(super) fn try_acquire<R, K>(core: R, key: K, caller: Caller) -> Result<Held<R, K>, TryLockError>
where
    R: Deref<Target = Core<K>>,
    K: Eq + Hash,
{
    let hash = core.shards.hash(&key);
    acquire_free(core, hash, key, caller).map_err(|(_, error)| error)
}

/// Owns the key, in turn.
pub(super) async fn acquire<R, K>(core: R, key: K, caller: Caller) -> Result<Held<R, K>, LockError>
where
    R: Deref<Target = Core<K>> + Clone,
    K: Eq + Hash,
{
    let hash = core.shards.hash(&key);
    let key = match acquire_free(core.clone(), hash, key, caller) {
        Err((key, TryLockError::Locked)) => key,
        outcome => return outcome.map_err(|_| LockError::Closed),
    };
    let waker = current_waker().await;
    let grace = core.thresholds.grace;
    match enqueue(core, hash, key, caller, waker)? {
        Place::Owned(held) => Ok(held),
        Place::Queued(mut ticket) => turn(&mut ticket, grace).await,
    }
}

/// Owns the key, in turn, unless that takes too long.
pub(super) async fn acquire_within<R, K>(
    core: R,
    key: K,
    patience: Patience,
    caller: Caller,
) -> Result<Held<R, K>, LockError>
where
    R: Deref<Target = Core<K>> + Clone,
    K: Eq + Hash,
{
    let hash = core.shards.hash(&key);
    let key = match acquire_free(core.clone(), hash, key, caller) {
        Err((key, TryLockError::Locked)) => key,
        outcome => return outcome.map_err(|_| LockError::Closed),
    };
    let waker = current_waker().await;
    let grace = core.thresholds.grace;
    let limit = patience.left(&*core.clock);
    let mut ticket = match enqueue(core.clone(), hash, key, caller, waker)? {
        Place::Owned(held) => return Ok(held),
        Place::Queued(ticket) => ticket,
    };
    let outcome = {
        let wait = pin!(turn(&mut ticket, grace));
        timeout(limit, wait).await
    };
    if let Some(outcome) = outcome {
        return outcome;
    }
    let error = ticket.timed_out();
    warn!(name = core.name, %caller, %error, "lock not acquired");
    core.meters.count("timeout");
    Err(error)
}

/// Owns the key if it is free; gives it back if it is not.
fn acquire_free<R, K>(
    core: R,
    hash: u64,
    key: K,
    caller: Caller,
) -> Result<Held<R, K>, (K, TryLockError)>
where
    R: Deref<Target = Core<K>>,
    K: Eq,
{
    let index = core.shards.index(hash);
    let entry = {
        let mut shard = core.shards.lock(index);
        if shard.closed {
            drop(shard);
            return Err((key, TryLockError::Closed));
        }
        if shard.keys.find(hash, &key).is_some() {
            drop(shard);
            return Err((key, TryLockError::Locked));
        }
        shard.own(hash, key, caller)
    };
    // Owned before the event, whose subscriber may panic.
    let held = Held::new(core, index, entry, Timing::Unmeasured);
    trace!(name = held.core().name, %caller, "lock acquired");
    Ok(held)
}

enum Place<R, K>
where
    R: Deref<Target = Core<K>>,
{
    /// The key became free in the meantime.
    Owned(Held<R, K>),
    Queued(Ticket<R, K>),
}

fn enqueue<R, K>(
    core: R,
    hash: u64,
    key: K,
    caller: Caller,
    waker: Waker,
) -> Result<Place<R, K>, LockError>
where
    R: Deref<Target = Core<K>>,
    K: Eq,
{
    let index = core.shards.index(hash);
    let now = core.clock.monotonic();
    let mut shard = core.shards.lock(index);
    if shard.closed {
        drop(shard);
        return Err(LockError::Closed);
    }
    let Some(entry) = shard.keys.find(hash, &key) else {
        let entry = shard.own(hash, key, caller);
        drop(shard);
        return Ok(Place::Owned(Held::new(
            core,
            index,
            entry,
            Timing::Unmeasured,
        )));
    };
    let waiter = Waiter {
        entry,
        location: caller,
        since: now,
        outcome: Outcome::Waiting,
        is_reported: false,
    };
    let max_waiters = core.max_waiters;
    let waiter = shard.enqueue(waiter, waker, max_waiters);
    drop(shard);
    match waiter {
        Ok(waiter) => Ok(Place::Queued(Ticket {
            core: Some(core),
            shard: index,
            waiter,
            is_fresh: true,
        })),
        Err(_waker) => Err(LockError::QueueFull { max_waiters }),
    }
}

/// A place in a key's queue. Dropping it gives the place up, and the grant if it had come.
struct Ticket<R, K>
where
    R: Deref<Target = Core<K>>,
{
    /// `None` once the ticket was turned into its outcome.
    core: Option<R>,
    shard: usize,
    waiter: usize,
    /// Whether it was made in the poll that is going on, whose waker it has: whatever happened to
    /// it since has woken that, and need not be looked for.
    is_fresh: bool,
}

impl<R, K> Turn for Ticket<R, K>
where
    R: Deref<Target = Core<K>>,
{
    type Outcome = Result<Held<R, K>, LockError>;

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Self::Outcome> {
        if mem::take(&mut self.is_fresh) {
            return Poll::Pending;
        }
        let Some(core) = &self.core else {
            return Poll::Pending;
        };
        let mut waker = None;
        let polled = loop {
            let mut shard = core.shards.lock(self.shard);
            let long_wait = core.thresholds.long_wait;
            let polled = shard.poll(self.waiter, cx.waker(), &mut waker, long_wait);
            drop(shard);
            match polled {
                Polled::NeedsWaker => waker = Some(cx.waker().clone()),
                polled => break polled,
            }
        };
        let claim = match polled {
            Polled::Waiting | Polled::NeedsWaker => return Poll::Pending,
            Polled::Owned(claim) => Some(claim),
            Polled::Closed => None,
        };
        let Some(core) = self.core.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match claim {
            Some(Claim {
                entry,
                waited,
                overdue,
            }) => {
                // Owned before the event, whose subscriber may panic.
                let held = Held::new(core, self.shard, entry, Timing::Measured);
                held.core().report_wait(waited, overdue);
                Ok(held)
            }
            None => Err(LockError::Closed),
        })
    }

    fn look_ahead(&self) -> Duration {
        let Some(core) = &self.core else {
            return Duration::MAX;
        };
        let now = core.clock.monotonic();
        let mut shard = core.shards.lock(self.shard);
        let (leftovers, next_look) = shard.look_ahead(self.waiter, now, &core.thresholds);
        drop(shard);
        if let Some(overdue) = leftovers.dispose() {
            core.report(overdue, None);
        }
        next_look
    }
}

impl<R, K> Ticket<R, K>
where
    R: Deref<Target = Core<K>>,
{
    fn timed_out(&self) -> LockError {
        let mut error = LockError::Closed;
        if let Some(core) = &self.core {
            let now = core.clock.monotonic();
            let mut shard = core.shards.lock(self.shard);
            let Shard { keys, waiters, .. } = &mut *shard;
            if let Some(waiter) = waiters.get(self.waiter)
                && waiter.outcome != Outcome::Closed
                && let Some(owner) = keys.get_mut(waiter.entry)
            {
                error = LockError::Timeout {
                    waited: now.saturating_duration_since(waiter.since),
                    queue_len: owner.queue.len().saturating_sub(1),
                    held_for: owner.held_for(now).unwrap_or_default(),
                };
                shard.timeouts += 1;
            }
        }
        error
    }
}

impl<R, K> Drop for Ticket<R, K>
where
    R: Deref<Target = Core<K>>,
{
    fn drop(&mut self) {
        if let Some(core) = &self.core {
            let now = core.clock.monotonic();
            let leftovers = core.shards.lock(self.shard).give_up(self.waiter, now);
            leftovers.dispose();
        }
    }
}
