use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::AsyncLock;

use crate::{
    BuildError, JobHandler, JobStore, LockName, Scheduler,
    driver::LONGEST_SLEEP,
    live::Live,
    shared::{Alarm, Handler, Settings, Shared},
    store_time::StoreTime,
};

/// Settings of a [`Scheduler`], as [`Scheduler::builder`] returns them.
#[derive(Debug)]
pub struct SchedulerBuilder {
    settings: Settings,
    store: Arc<dyn JobStore>,
    handler: Handler,
    clock: Arc<dyn Clock>,
    locks: Option<Arc<AsyncLock<LockName>>>,
}

impl SchedulerBuilder {
    /// The greatest length of a namespace and of an owner, in bytes.
    pub const MAX_NAME: usize = 255;

    pub(crate) fn new(
        namespace: String,
        store: Arc<dyn JobStore>,
        handler: Arc<dyn JobHandler>,
    ) -> Self {
        Self {
            settings: Settings {
                namespace,
                owner: None,
                max_concurrency: 256,
                lease: Duration::from_secs(10),
                grace: Duration::from_secs(60),
                poll: None,
                keep_runs: Duration::from_secs(86_400),
            },
            store,
            handler: Handler(handler),
            clock: Arc::new(SystemClock),
            locks: None,
        }
    }

    /// The clock; the machine's by default. Of a store that has [a time of its own](JobStore::time)
    /// only the monotonic time counts.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The name under which this process claims, unique among all processes that ever use the
    /// store; by default a new UUID at every start.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.settings.owner = Some(owner.into());
        self
    }

    /// How many runs are at work at a time, at least 1; 256 by default. What is due beyond that
    /// waits in the store.
    #[must_use]
    pub fn max_concurrency(mut self, runs: usize) -> Self {
        self.settings.max_concurrency = runs;
        self
    }

    /// How long a claim holds without being renewed: 1 s to 1 day, 10 s by default. It is
    /// renewed three times as often while its run is at work, so this is how long it takes until
    /// the runs of a process that died are claimed by others.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How late an occurrence may be without being a misfire; 60 s by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// How long it takes at most until a change that another process made to the store is
    /// noticed: 1 ms to 30 s. By default it is 1 s for a store that has a time of its own, since
    /// several hosts share it, and 30 s for others. Changes made here are noticed at once, and so
    /// are those that the store [tells of](JobStore::watch).
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.settings.poll = Some(poll);
        self
    }

    /// How long the store keeps runs that have ended; one day by default. A job's last outcome
    /// is kept with the job.
    #[must_use]
    pub fn keep_runs(mut self, keep: Duration) -> Self {
        self.settings.keep_runs = keep;
        self
    }

    /// The locks behind the jobs' [`LockName`]s, to share with other operations of the process;
    /// by default the scheduler has its own.
    ///
    /// A run fails if the lock's bound on waiters is reached, so let it be at least as large as
    /// the concurrency.
    #[must_use]
    pub fn locks(mut self, locks: Arc<AsyncLock<LockName>>) -> Self {
        self.locks = Some(locks);
        self
    }

    /// Builds the scheduler; it does nothing before [`Scheduler::start`].
    ///
    /// # Errors
    ///
    /// If a setting is out of range; the error names it.
    pub fn build(self) -> Result<Scheduler, BuildError> {
        let settings = &self.settings;
        let name_fits = |name: &String| (1..=Self::MAX_NAME).contains(&name.len());
        require(
            name_fits(&settings.namespace),
            "namespace",
            "1 to 255 bytes are allowed",
        )?;
        let owner_fits = settings.owner.as_ref().is_none_or(name_fits);
        require(owner_fits, "owner", "1 to 255 bytes are allowed")?;
        require(
            settings.max_concurrency > 0,
            "max_concurrency",
            "at least 1 is allowed",
        )?;
        let leases = Duration::from_secs(1)..=Duration::from_secs(86_400);
        let lease_fits = leases.contains(&settings.lease);
        require(lease_fits, "lease", "1 s to 1 day are allowed")?;
        let polls = Duration::from_millis(1)..=LONGEST_SLEEP;
        let poll_fits = settings.poll.is_none_or(|poll| polls.contains(&poll));
        require(poll_fits, "poll", "1 ms to 30 s are allowed")?;
        let locks = match self.locks {
            Some(locks) => locks,
            None => Arc::new(
                AsyncLock::builder()
                    .name("scheduler")
                    .max_waiters(settings.max_concurrency)
                    .build()
                    .map_err(|_| BuildError {
                        field: "max_concurrency",
                        reason: "no lock can have as many waiters",
                    })?,
            ),
        };
        Ok(Scheduler::new(Shared {
            settings: self.settings,
            store: self.store,
            handler: self.handler,
            clock: self.clock,
            locks,
            removals: AsyncLock::new(),
            live: Live::default(),
            alarm: Alarm::new(),
            store_time: StoreTime::default(),
        }))
    }
}

fn require(fits: bool, field: &'static str, reason: &'static str) -> Result<(), BuildError> {
    if fits {
        Ok(())
    } else {
        Err(BuildError { field, reason })
    }
}
