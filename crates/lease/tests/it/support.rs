//! Short ways to build locks in virtual time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use steadfast_clock::{Clock, ManualClock};
use steadfast_lease::{
    LeaseLock, LeaseLockBuilder, LockBackend, MemoryBackend,
    test_util::{Fault, FaultyBackend},
};

pub(crate) const SEC: Duration = Duration::from_secs(1);
/// The time to live of every lock here; renewed every 10 s, with a margin of 3 s.
pub(crate) const TTL: Duration = Duration::from_secs(30);

pub(crate) type Faulty = Arc<FaultyBackend<MemoryBackend>>;

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::ticking(SystemTime::UNIX_EPOCH))
}

/// A memory backend whose calls suffer what the script says; call 0 is the first acquisition.
pub(crate) fn faulty(
    clock: &Arc<dyn Clock>,
    script: impl FnMut(u64) -> Fault + Send + 'static,
) -> Faulty {
    let memory = MemoryBackend::with_clock(Arc::clone(clock));
    Arc::new(FaultyBackend::new(memory, script))
}

pub(crate) fn builder(
    backend: Arc<dyn LockBackend>,
    clock: &Arc<dyn Clock>,
    owner: &str,
) -> LeaseLockBuilder {
    LeaseLock::builder(backend, "key", owner)
        .ttl(TTL)
        .clock(Arc::clone(clock))
}

pub(crate) fn lock(backend: &Faulty, clock: &Arc<dyn Clock>, owner: &str) -> LeaseLock {
    builder(Arc::clone(backend) as _, clock, owner)
        .build()
        .expect("sound settings")
}

/// What is protected: it refuses writes with a lower fence than it has seen.
#[derive(Debug, Default)]
pub(crate) struct Register {
    writes: Mutex<Vec<u64>>,
}

impl Register {
    /// Whether the write was accepted.
    pub(crate) fn write(&self, fence: u64) -> bool {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let accepted = writes.last().is_none_or(|last| *last <= fence);
        if accepted {
            writes.push(fence);
        }
        accepted
    }

    pub(crate) fn writes(&self) -> Vec<u64> {
        self.writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
