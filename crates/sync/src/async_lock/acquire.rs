use std::{
    future::poll_fn,
    hash::Hash,
    ops::Deref,
    panic::Location,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tracing::{trace, warn};

use super::{
    AsyncLock,
    guard::Held,
    shard::{Outcome, Shard, Since, Waiter},
};
use crate::{
    LockError, TryLockError,
    timeout::{current_waker, timeout},
};

type Caller = &'static Location<'static>;

/// Owns the key if it is free. Since a key with waiters has an owner, this never barges.
pub(super) fn try_acquire<R, K>(lock: R, key: K, caller: Caller) -> Result<Held<R, K>, TryLockError>
where
    R: Deref<Target = AsyncLock<K>>,
    K: Eq + Hash,
{
    let hash = lock.shards.hash(&key);
    acquire_free(lock, hash, key, caller).map_err(|(_, error)| error)
}

/// Owns the key, in turn.
pub(super) async fn acquire<R, K>(lock: R, key: K, caller: Caller) -> Result<Held<R, K>, LockError>
where
    R: Deref<Target = AsyncLock<K>> + Clone,
    K: Eq + Hash,
{
    let hash = lock.shards.hash(&key);
    let key = match acquire_free(lock.clone(), hash, key, caller) {
        Err((key, TryLockError::Locked)) => key,
        outcome => return outcome.map_err(|_| LockError::Closed),
    };
    let waker = current_waker().await;
    match enqueue(lock, hash, key, caller, waker)? {
        Place::Owned(held) => Ok(held),
        Place::Queued(mut ticket) => poll_fn(|cx| ticket.poll(cx)).await,
    }
}

/// Owns the key, in turn, unless that takes too long.
pub(super) async fn acquire_timeout<R, K>(
    lock: R,
    key: K,
    limit: Duration,
    caller: Caller,
) -> Result<Held<R, K>, LockError>
where
    R: Deref<Target = AsyncLock<K>> + Clone,
    K: Eq + Hash,
{
    let hash = lock.shards.hash(&key);
    let key = match acquire_free(lock.clone(), hash, key, caller) {
        Err((key, TryLockError::Locked)) => key,
        outcome => return outcome.map_err(|_| LockError::Closed),
    };
    let waker = current_waker().await;
    let mut ticket = match enqueue(lock.clone(), hash, key, caller, waker)? {
        Place::Owned(held) => return Ok(held),
        Place::Queued(ticket) => ticket,
    };
    let wait = pin!(poll_fn(|cx| ticket.poll(cx)));
    if let Some(outcome) = timeout(limit, wait).await {
        return outcome;
    }
    let error = ticket.timed_out();
    warn!(name = lock.name(), %caller, %error, "lock not acquired");
    Err(error)
}

/// Owns the key if it is free; gives it back if it is not.
fn acquire_free<R, K>(
    lock: R,
    hash: u64,
    key: K,
    caller: Caller,
) -> Result<Held<R, K>, (K, TryLockError)>
where
    R: Deref<Target = AsyncLock<K>>,
    K: Eq,
{
    let index = lock.shards.index(hash);
    let entry = {
        let mut shard = lock.shards.lock(index);
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
    let held = Held::new(lock, index, entry);
    trace!(name = held.lock().name(), %caller, "lock acquired");
    Ok(held)
}

enum Place<R, K>
where
    R: Deref<Target = AsyncLock<K>>,
{
    /// The key became free in the meantime.
    Owned(Held<R, K>),
    Queued(Ticket<R, K>),
}

fn enqueue<R, K>(
    lock: R,
    hash: u64,
    key: K,
    caller: Caller,
    waker: Waker,
) -> Result<Place<R, K>, LockError>
where
    R: Deref<Target = AsyncLock<K>>,
    K: Eq,
{
    let index = lock.shards.index(hash);
    let now = lock.clock.monotonic();
    let mut shard = lock.shards.lock(index);
    if shard.closed {
        drop(shard);
        return Err(LockError::Closed);
    }
    let Some(entry) = shard.keys.find(hash, &key) else {
        let entry = shard.own(hash, key, caller);
        drop(shard);
        return Ok(Place::Owned(Held::new(lock, index, entry)));
    };
    let waiter = Waiter {
        entry,
        location: caller,
        since: now,
        outcome: Outcome::Waiting,
    };
    let max_waiters = lock.max_waiters;
    let waiter = shard.enqueue(waiter, waker, max_waiters);
    drop(shard);
    match waiter {
        Ok(waiter) => Ok(Place::Queued(Ticket {
            lock: Some(lock),
            shard: index,
            waiter,
        })),
        Err(_waker) => Err(LockError::QueueFull { max_waiters }),
    }
}

/// A place in a key's queue. Dropping it gives the place up, and the grant if it had come.
struct Ticket<R, K>
where
    R: Deref<Target = AsyncLock<K>>,
{
    /// `None` once the ticket was turned into its outcome.
    lock: Option<R>,
    shard: usize,
    waiter: usize,
}

impl<R, K> Ticket<R, K>
where
    R: Deref<Target = AsyncLock<K>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Held<R, K>, LockError>> {
        let Some(lock) = &self.lock else {
            return Poll::Pending;
        };
        let waker = cx.waker().clone();
        let now = lock.clock.monotonic();
        let mut shard = lock.shards.lock(self.shard);
        let Some((entry, outcome)) = shard
            .waiters
            .get(self.waiter)
            .map(|waiter| (waiter.entry, waiter.outcome))
        else {
            drop(shard);
            return Poll::Ready(Err(LockError::Closed));
        };
        if outcome == Outcome::Waiting {
            let old = shard.waiters.set_waker(self.waiter, waker);
            drop(shard);
            drop(old);
            return Poll::Pending;
        }
        let removed = shard.waiters.remove(self.waiter);
        if let (Outcome::Granted, Some(owner)) = (outcome, shard.keys.get_mut(entry)) {
            owner.since = Since::Known(now);
        }
        drop(shard);
        drop((removed, waker));
        let Some(lock) = self.lock.take() else {
            return Poll::Pending;
        };
        Poll::Ready(match outcome {
            Outcome::Granted => {
                let held = Held::new(lock, self.shard, entry);
                trace!(name = held.lock().name(), "lock acquired after a wait");
                Ok(held)
            }
            Outcome::Closed | Outcome::Waiting => Err(LockError::Closed),
        })
    }

    fn timed_out(&self) -> LockError {
        let mut error = LockError::Closed;
        if let Some(lock) = &self.lock {
            let now = lock.clock.monotonic();
            let mut shard = lock.shards.lock(self.shard);
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
            }
        }
        error
    }
}

impl<R, K> Drop for Ticket<R, K>
where
    R: Deref<Target = AsyncLock<K>>,
{
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            let leftovers = lock.shards.lock(self.shard).give_up(self.waiter);
            leftovers.dispose();
        }
    }
}
