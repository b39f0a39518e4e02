//! The leases that this process holds, for people to look at.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_clock::{Clock, Instant};
use steadfast_lease::{BackendError, Grant, Guarantees, LockBackend};

/// A backend of leases that remembers those that were granted through it and still hold.
#[derive(Clone)]
pub struct WatchedLeases {
    backend: Arc<dyn LockBackend>,
    clock: Arc<dyn Clock>,
    /// One a key at most.
    held: Arc<Mutex<Vec<Held>>>,
}

/// A lease that is held.
#[derive(Clone, Debug)]
struct Held {
    grant: Grant,
    since: Instant,
}

/// How a lease that is held is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLease {
    /// What is leased, by whom, with which fence.
    pub grant: Grant,
    /// How long it has been held.
    pub age: Duration,
    /// How long it holds if it is not renewed.
    pub remaining: Duration,
}

impl WatchedLeases {
    /// Watches what `backend` grants.
    #[must_use]
    pub fn new(backend: Arc<dyn LockBackend>, clock: Arc<dyn Clock>) -> Self {
        Self {
            backend,
            clock,
            held: Arc::default(),
        }
    }

    /// The leases that hold at this moment, the oldest first.
    #[must_use]
    pub fn held(&self) -> Vec<HeldLease> {
        let now = self.clock.monotonic();
        self.with(|held| {
            held.retain(|lease| lease.grant.valid_until > now);
            held.iter().map(|lease| lease.at(now)).collect()
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Vec<Held>) -> R) -> R {
        f(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn is(&self, grant: &Grant) -> bool {
        self.grant.key == grant.key && self.grant.fence == grant.fence
    }

    fn at(&self, now: Instant) -> HeldLease {
        HeldLease {
            grant: self.grant.clone(),
            age: now.saturating_duration_since(self.since),
            remaining: self.grant.valid_until.saturating_duration_since(now),
        }
    }
}

#[async_trait]
impl LockBackend for WatchedLeases {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        let granted = self.backend.try_acquire(key, owner, ttl).await?;
        if let Some(grant) = &granted {
            let since = self.clock.monotonic();
            self.with(|held| {
                // What was granted before has ended, or this would not have been granted.
                held.retain(|lease| lease.grant.key != grant.key);
                let grant = grant.clone();
                held.push(Held { grant, since });
            });
        }
        Ok(granted)
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        let renewed = self.backend.renew(grant, ttl).await?;
        self.with(|held| match &renewed {
            Some(renewed) => {
                if let Some(lease) = held.iter_mut().find(|lease| lease.is(renewed)) {
                    lease.grant = renewed.clone();
                }
            }
            None => held.retain(|lease| !lease.is(grant)),
        });
        Ok(renewed)
    }

    async fn release(&self, grant: &Grant) -> Result<(), BackendError> {
        self.backend.release(grant).await?;
        self.with(|held| held.retain(|lease| !lease.is(grant)));
        Ok(())
    }

    fn guarantees(&self) -> Guarantees {
        self.backend.guarantees()
    }
}

impl fmt::Debug for WatchedLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedLeases")
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use steadfast_clock::{ManualClock, SystemClock};
    use steadfast_lease::{MemoryBackend, test_util::conformance};

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn watched() -> (WatchedLeases, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let backend = MemoryBackend::with_clock(clock.clone());
        (WatchedLeases::new(Arc::new(backend), clock.clone()), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn watched_backend_conforms() {
        let backend = Arc::new(MemoryBackend::new());
        let leases = WatchedLeases::new(backend, Arc::new(SystemClock));
        let leases = Arc::new(leases);
        conformance::all(leases.clone(), "watched", Duration::from_secs(1)).await;
    }

    #[tokio::test]
    async fn lease_is_listed_until_it_is_released() {
        let (leases, clock) = watched();
        let grant = leases.try_acquire("a", "me", TTL).await.unwrap().unwrap();
        assert!(leases.try_acquire("a", "you", TTL).await.unwrap().is_none());
        clock.advance(Duration::from_secs(4));
        let seen = leases.held().remove(0);
        assert_eq!((&*seen.grant.key, &*seen.grant.owner), ("a", "me"));
        assert_eq!((seen.grant.fence, seen.age), (grant.fence, seconds(4)));
        assert_eq!(seen.remaining, TTL - Grant::drift(TTL) - seconds(4));

        let renewed = leases.renew(&grant, TTL).await.unwrap().unwrap();
        let seen = leases.held().remove(0);
        assert_eq!(seen.age, seconds(4));
        assert_eq!(seen.remaining, TTL - Grant::drift(TTL));
        leases.release(&renewed).await.unwrap();
        assert_eq!(leases.held(), []);
    }

    #[tokio::test]
    async fn lease_that_has_ended_is_not_listed_and_its_late_release_changes_nothing() {
        let (leases, clock) = watched();
        let old = leases.try_acquire("a", "me", TTL).await.unwrap().unwrap();
        clock.advance(TTL);
        assert_eq!(leases.held(), []);
        let new = leases.try_acquire("a", "you", TTL).await.unwrap().unwrap();
        leases.release(&old).await.unwrap();
        assert!(leases.renew(&old, TTL).await.unwrap().is_none());
        let held = leases.held();
        assert_eq!((held.len(), &held[0].grant), (1, &new));
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
}
