use std::{sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use super::{Core, Counts, Jitter, Retry, RetryBudget, random::SplitMix64};
use crate::{
    ConfigError, Registry,
    config::{check_count, check_duration},
    meters::Meters,
};

/// Configures a [`Retry`]. Each bound has a default, so no policy retries for ever.
#[derive(Clone, Debug)]
pub struct RetryBuilder {
    name: String,
    initial_delay: Duration,
    max_delay: Duration,
    jitter: Jitter,
    max_attempts: u32,
    deadline: Duration,
    seed: Option<u64>,
    budget: Option<Arc<RetryBudget>>,
    clock: Arc<dyn Clock>,
    registry: Registry,
}

impl RetryBuilder {
    pub(super) fn new() -> Self {
        Self {
            name: String::new(),
            initial_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(5),
            jitter: Jitter::Full,
            max_attempts: 5,
            deadline: Duration::from_secs(60),
            seed: None,
            budget: None,
            clock: Arc::new(SystemClock),
            registry: Registry::global().clone(),
        }
    }

    /// The name under which events, metrics and the registry speak of the policy.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What delays start from, see [`Jitter`]. The default is 50 ms.
    #[must_use]
    pub fn initial_delay(mut self, delay: Duration) -> Self {
        self.initial_delay = delay;
        self
    }

    /// What delays stop growing at. The default is 5 s.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// How delays are spread. The default is [`Jitter::Full`].
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// How many attempts to make, the first one included. The default is 5.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How long all attempts and delays may take together; an attempt that is still running then
    /// is dropped. The default is 60 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Makes the delays reproducible. The default is a random seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// A budget to share with other policies. The default is none.
    #[must_use]
    pub fn budget(mut self, budget: Arc<RetryBudget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Where a named policy is listed. The default is [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The clock that measures the deadline. It has to run along with tokio's time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The policy as configured.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `initial_delay`, `max_delay`,
    /// `max_attempts` and `deadline`; [`ConfigError::LessThan`] if `max_delay` is below
    /// `initial_delay`.
    pub fn build(self) -> Result<Retry, ConfigError> {
        check_duration("initial_delay", self.initial_delay)?;
        check_duration("max_delay", self.max_delay)?;
        check_count("max_attempts", self.max_attempts as usize)?;
        check_duration("deadline", self.deadline)?;
        if self.max_delay < self.initial_delay {
            let (field, other) = ("max_delay", "initial_delay");
            return Err(ConfigError::LessThan { field, other });
        }
        let core = Arc::new(Core {
            meters: Meters::new("retry", &self.name),
            name: self.name,
            initial_delay: self.initial_delay,
            max_delay: self.max_delay,
            jitter: self.jitter,
            max_attempts: self.max_attempts,
            deadline: self.deadline,
            random: SplitMix64::new(self.seed.unwrap_or_else(SplitMix64::random_seed)),
            budget: self.budget,
            clock: self.clock,
            counts: Counts::default(),
        });
        self.registry.add(&core.name, &core);
        Ok(Retry { core })
    }
}
