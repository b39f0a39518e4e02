//! Public behaviour of the crate, over the stores in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod cleanup;
mod compliance;
mod conformance;
mod crashing;
mod erasure;
mod policies;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, Timestamp};
use steadfast_clock::{Clock, ManualClock};
use steadfast_lease::MemoryBackend;
use steadfast_privacy::{
    Privacy, PrivacyBuilder, RetentionStore, Run, RunLog,
    test_util::{MemoryPolicies, MemoryRetention, MemoryRunLog},
};

/// The stores and the locks of one service, or of several.
struct World {
    clock: Arc<ManualClock>,
    store: Arc<MemoryRetention>,
    log: Arc<MemoryRunLog>,
    policies: Arc<MemoryPolicies>,
    locks: Arc<MemoryBackend>,
}

impl World {
    fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Arc::new(ManualClock::ticking(start));
        Self {
            store: Arc::new(MemoryRetention::new()),
            log: Arc::new(MemoryRunLog::new()),
            policies: Arc::new(MemoryPolicies::new()),
            locks: Arc::new(MemoryBackend::with_clock(clock.clone())),
            clock,
        }
    }

    fn builder(&self) -> PrivacyBuilder {
        self.builder_over(self.store.clone(), self.log.clone())
    }

    fn builder_over(&self, store: Arc<dyn RetentionStore>, log: Arc<dyn RunLog>) -> PrivacyBuilder {
        Privacy::builder(store, log, self.policies.clone(), self.locks.clone())
            .clock(self.clock.clone())
    }

    fn privacy(&self) -> Privacy {
        self.builder().build().unwrap()
    }

    async fn log_of(&self) -> Vec<Run> {
        self.log.list(None, None, 99).await.unwrap()
    }

    fn days_ago(&self, days: i64) -> Timestamp {
        let now = Timestamp::try_from(self.clock.wall()).unwrap();
        now - SignedDuration::from_hours(24 * days)
    }
}
