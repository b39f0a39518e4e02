use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{CircuitBreaker, InitCell, Retry, Semaphore};

use crate::{Backend, ConfigError, Database, MigrationSet, alert::Failures, shared::Shared};

/// Configures a [`Database`].
///
/// | option | default |
/// |---|---|
/// | [`name`](Self::name) | `database` |
/// | [`migrations`](Self::migrations) | none |
/// | [`deadline`](Self::deadline) | 60 s |
/// | [`max_attempts`](Self::max_attempts) | 20 |
/// | [`initial_delay`](Self::initial_delay), [`max_delay`](Self::max_delay) | 50 ms, 5 s |
/// | [`breaker`](Self::breaker) | opens for 10 s after 5 failures in a row |
/// | [`failure_threshold`](Self::failure_threshold) | 3 |
/// | [`concurrency`](Self::concurrency) | not bounded but by the pool |
#[derive(Debug)]
pub struct DatabaseBuilder<B> {
    backend: B,
    name: String,
    migrations: MigrationSet,
    deadline: Duration,
    max_attempts: u32,
    initial_delay: Duration,
    max_delay: Duration,
    seed: Option<u64>,
    breaker: Option<CircuitBreaker>,
    failure_threshold: u32,
    concurrency: Option<Semaphore>,
    clock: Arc<dyn Clock>,
}

impl<B: Backend> DatabaseBuilder<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self {
            backend,
            name: "database".to_owned(),
            migrations: MigrationSet::new(),
            deadline: Duration::from_secs(60),
            max_attempts: 20,
            initial_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(5),
            seed: None,
            breaker: None,
            failure_threshold: 3,
            concurrency: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// The name under which events, alerts, metrics and the registry speak of the database, of its
    /// retries and of its circuit breaker, unless that is [given](Self::breaker).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The migrations to apply.
    #[must_use]
    pub fn migrations(mut self, migrations: MigrationSet) -> Self {
        self.migrations = migrations;
        self
    }

    /// How long one generation may take, all of its attempts and delays together.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most attempts in one generation.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The longest possible delay after the first failed attempt; it doubles with each further
    /// one, and the real delay is random between zero and it.
    #[must_use]
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = delay;
        self
    }

    /// Where the longest possible delay stops doubling.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// A seed for the random delays, so that a run can be replayed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The circuit breaker that admits attempts.
    ///
    /// It counts attempts over all generations. A generation that begins while it is open fails
    /// at once; one that opens it waits until it admits the next attempt.
    #[must_use]
    pub fn breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// How many failures in a row raise an [alert](Database::alerts).
    #[must_use]
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures;
        self
    }

    /// The semaphore that bounds how much is at work on the database at once, for those who ask
    /// by [`Database::work`]. Its builder says how many may wait, and its name is in the registry.
    #[must_use]
    pub fn concurrency(mut self, semaphore: Semaphore) -> Self {
        self.concurrency = Some(semaphore);
        self
    }

    /// The clock for deadlines and reports; the machine's unless told.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the database; nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the option that cannot work.
    pub fn build(self) -> Result<Database<B>, ConfigError> {
        if self.failure_threshold == 0 {
            return Err(ConfigError::new("failure_threshold", "must be at least 1"));
        }
        let retry = Retry::builder()
            .name(&*self.name)
            .initial_delay(self.initial_delay)
            .max_delay(self.max_delay)
            .max_attempts(self.max_attempts)
            .deadline(self.deadline)
            .clock(Arc::clone(&self.clock));
        let retry = match self.seed {
            Some(seed) => retry.seed(seed),
            None => retry,
        };
        let retry = retry.build().map_err(ConfigError::from_sync)?;
        let breaker = match self.breaker {
            Some(breaker) => breaker,
            None => CircuitBreaker::builder()
                .name(&*self.name)
                .consecutive_failures(5)
                .open_for(Duration::from_secs(10))
                .clock(Arc::clone(&self.clock))
                .build()
                .map_err(ConfigError::from_sync)?,
        };
        let cell = InitCell::builder()
            .name(&*self.name)
            .clock(Arc::clone(&self.clock))
            .build()
            .map_err(ConfigError::from_sync)?;
        let failures = Failures::new(self.name.into(), self.failure_threshold);
        let shared = Shared::new(
            self.backend,
            self.migrations,
            retry,
            breaker,
            self.clock,
            failures,
        );
        Ok(Database::from_parts(shared, cell, self.concurrency))
    }
}
