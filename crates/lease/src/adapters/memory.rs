use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_clock::{Clock, Instant, SystemClock};

use crate::{BackendError, Fencing, Grant, Guarantees, LockBackend, MAX_TTL, Scope};

/// From how many leases on the expired ones are looked for.
const SWEEP_FROM: usize = 64;

/// Leases among the users of one value in one process.
///
/// It never fails. One counter gives out the fences of all keys, so that nothing has to be
/// remembered of a key that nobody holds: memory is bounded by the leases that have not been
/// released, of which expired ones are at most about half. Every operation is constant in time,
/// amortised.
#[derive(Debug)]
pub struct MemoryBackend {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    held: HashMap<Arc<str>, Lease>,
    last_fence: u64,
    /// The number of leases at which the next sweep is due.
    sweep_at: usize,
}

#[derive(Debug)]
struct Lease {
    fence: u64,
    expires: Instant,
}

impl MemoryBackend {
    /// A backend on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// A backend on `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                held: HashMap::new(),
                last_fence: 0,
                sweep_at: SWEEP_FROM,
            }),
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        f(&mut state, now)
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl LockBackend for MemoryBackend {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        Ok(self.with(|state, now| {
            if state.held.get(key).is_some_and(|lease| now < lease.expires) {
                return None;
            }
            state.sweep(now);
            state.last_fence += 1;
            let grant = Grant::new(key, owner, state.last_fence, now, ttl);
            let lease = Lease {
                fence: grant.fence,
                expires: now + ttl.min(MAX_TTL),
            };
            state.held.insert(Arc::clone(&grant.key), lease);
            Some(grant)
        }))
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        Ok(self.with(|state, now| {
            let lease = state.held.get_mut(&grant.key)?;
            if lease.fence != grant.fence || now >= lease.expires {
                return None;
            }
            lease.expires = now + ttl.min(MAX_TTL);
            let (key, owner) = (Arc::clone(&grant.key), Arc::clone(&grant.owner));
            Some(Grant::new(key, owner, grant.fence, now, ttl))
        }))
    }

    async fn release(&self, grant: &Grant) -> Result<(), BackendError> {
        self.with(|state, _| {
            let current = state.held.get(&grant.key);
            if current.is_some_and(|lease| lease.fence == grant.fence) {
                state.held.remove(&grant.key);
            }
        });
        Ok(())
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Scope::Process, Fencing::Monotonic)
    }
}

impl State {
    /// Forgets expired leases whenever their number may have doubled since the last time.
    fn sweep(&mut self, now: Instant) {
        if self.held.len() >= self.sweep_at {
            self.held.retain(|_, lease| now < lease.expires);
            self.sweep_at = (self.held.len() * 2).max(SWEEP_FROM);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use steadfast_clock::ManualClock;

    use super::*;

    const TTL: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn expired_leases_do_not_pile_up() {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let backend = MemoryBackend::with_clock(Arc::clone(&clock) as _);
        for index in 0..10_000 {
            let key = format!("key-{index}");
            let grant = backend.try_acquire(&key, "a", TTL).await.unwrap();
            assert!(grant.is_some());
            clock.advance(TTL / 10);
        }
        let held = backend.with(|state, _| state.held.len());
        assert!(held <= SWEEP_FROM, "{held} leases are kept");
    }

    #[tokio::test]
    async fn released_leases_leave_nothing_behind() {
        let backend = MemoryBackend::new();
        for _ in 0..10 {
            let grant = backend.try_acquire("key", "a", TTL).await.unwrap();
            backend.release(&grant.unwrap()).await.unwrap();
        }
        assert_eq!(backend.with(|state, _| state.held.len()), 0);
        let fence = backend.with(|state, _| state.last_fence);
        assert_eq!(fence, 10);
    }
}
