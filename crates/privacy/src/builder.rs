use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use steadfast_clock::{Clock, SystemClock};
use steadfast_lease::{LeaseLock, LockBackend};
use steadfast_sync::Retry;
use uuid::Uuid;

use crate::{
    BuildError, Erasures, MAX_DURATION, Operation, PolicySnapshot, PolicyStore, Privacy,
    RetentionPolicy, RetentionStore, RunLog,
    stamps::{NewId, random_ids},
};

/// Sets up [`Privacy`].
pub struct PrivacyBuilder {
    store: Arc<dyn RetentionStore>,
    log: Arc<dyn RunLog>,
    policy_store: Arc<dyn PolicyStore>,
    locks: Arc<dyn LockBackend>,
    clock: Arc<dyn Clock>,
    policies: Vec<RetentionPolicy>,
    snapshot: PolicySnapshot,
    owner: String,
    batch: u32,
    pause: Duration,
    max_duration: Duration,
    erasures: Option<Erasures>,
    new_id: NewId,
}

impl PrivacyBuilder {
    pub(crate) fn new(
        store: Arc<dyn RetentionStore>,
        log: Arc<dyn RunLog>,
        policy_store: Arc<dyn PolicyStore>,
        locks: Arc<dyn LockBackend>,
    ) -> Self {
        Self {
            store,
            log,
            policy_store,
            locks,
            clock: Arc::new(SystemClock),
            policies: RetentionPolicy::defaults(),
            snapshot: PolicySnapshot::default(),
            owner: "privacy".to_owned(),
            batch: 500,
            pause: Duration::from_millis(10),
            max_duration: MAX_DURATION,
            erasures: None,
            new_id: random_ids(),
        }
    }

    /// Replaces the clock; the machine's by default. The lock backend must have the same one.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps `snapshot` up to date; one that nobody looks at without it.
    #[must_use]
    pub fn snapshot(mut self, snapshot: PolicySnapshot) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// Replaces the policies that stand unless they are changed; [`RetentionPolicy::defaults`]
    /// without it.
    #[must_use]
    pub fn policies(mut self, policies: Vec<RetentionPolicy>) -> Self {
        self.policies = policies;
        self
    }

    /// Sets the name of this process in the locks; `privacy` by default.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// Sets how many records one transaction deletes; 500 by default.
    #[must_use]
    pub fn batch(mut self, records: u32) -> Self {
        self.batch = records;
        self
    }

    /// Sets the least time between two batches; 10 ms by default. It is longer where a batch takes
    /// long: [three times](crate::PAUSE_FACTOR) as long as that took, at most
    /// [`MAX_PAUSE`](crate::MAX_PAUSE).
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sets how long a cleanup may take; [`MAX_DURATION`] by default. The next one goes on where it ended.
    #[must_use]
    pub fn max_duration(mut self, max_duration: Duration) -> Self {
        self.max_duration = max_duration;
        self
    }

    /// Carries out requests for erasure, by [`Privacy::erase`]; none by default.
    #[must_use]
    pub fn erasures(mut self, erasures: Erasures) -> Self {
        self.erasures = Some(erasures);
        self
    }

    /// Sets where the ids of runs come from, given the time; UUIDv7 with the system's randomness
    /// by default.
    #[must_use]
    pub fn ids(mut self, new_id: impl Fn(Timestamp) -> Uuid + Send + Sync + 'static) -> Self {
        self.new_id = Arc::new(new_id);
        self
    }

    /// Builds the service.
    ///
    /// # Errors
    ///
    /// If a policy is outside of its caps or there are two for the same records, or a setting
    /// does not work.
    pub fn build(self) -> Result<Privacy, BuildError> {
        let invalid = |field: &str, problem: &str| BuildError {
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        if self.batch == 0 {
            return Err(invalid("batch", "must be at least one"));
        }
        if self.max_duration.is_zero() {
            return Err(invalid("max_duration", "must be longer than nothing"));
        }
        let mut seen = HashSet::new();
        for policy in &self.policies {
            policy.check()?;
            if !seen.insert(policy.records) {
                return Err(invalid(
                    "policies",
                    &format!("name {} twice", policy.records),
                ));
            }
        }
        let lock = |operation: Operation| {
            let key = format!("privacy/{}", operation.name());
            let lock = LeaseLock::builder(self.locks.clone(), key, self.owner.clone());
            let lock = lock.clock(self.clock.clone()).build();
            lock.map_err(|error| invalid("owner", &error.to_string()))
        };
        self.snapshot.take_in(&self.policies);
        let retry = Retry::builder().name("privacy store").max_attempts(4);
        let retry = retry.deadline(Duration::from_secs(20)).build();
        Ok(Privacy {
            cleanup_lock: lock(Operation::Cleanup)?,
            compliance_lock: lock(Operation::Compliance)?,
            erasure_lock: lock(Operation::Erasure)?,
            erasures: self.erasures,
            retry: retry.map_err(|error| invalid("retry", &error.to_string()))?,
            store: self.store,
            log: self.log,
            clock: self.clock,
            policy_store: self.policy_store,
            base_policies: self.policies,
            snapshot: self.snapshot,
            stop: Mutex::default(),
            batch: self.batch,
            pause: self.pause,
            max_duration: self.max_duration,
            new_id: self.new_id,
        })
    }
}

impl fmt::Debug for PrivacyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivacyBuilder")
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}
