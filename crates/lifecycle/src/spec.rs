use std::{sync::Arc, time::Duration};

use crate::RestartPolicy;

/// What the lifecycle has to know of a service before it starts it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use steadfast_lifecycle::ServiceSpec;
///
/// let spec = ServiceSpec::new("http")
///     .requires("database")
///     .wants("cache")
///     .start_timeout(Duration::from_secs(5));
/// assert_eq!(&*spec.name, "http");
/// assert!(spec.required);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceSpec {
    /// The name, unique in one lifecycle and not empty.
    pub name: Arc<str>,
    /// Hard dependencies: they must be there and up before this service starts. When one of them
    /// fails, this service is stopped before it, and comes back after it.
    pub requires: Vec<Arc<str>>,
    /// Soft dependencies: they start before and stop after this service if they are there; whether
    /// they came up does not matter, and this service goes on while one of them is restarted.
    pub wants: Vec<Arc<str>>,
    /// Whether the application cannot be without this service.
    pub required: bool,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// How long a stop may take.
    pub stop_timeout: Duration,
    /// Whether it is started again when it fails.
    pub restart: RestartPolicy,
}

impl ServiceSpec {
    /// A required service without dependencies or restarts, with 30 s to start and 10 s to stop.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            requires: Vec::new(),
            wants: Vec::new(),
            required: true,
            start_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            restart: RestartPolicy::Never,
        }
    }

    /// Adds a hard dependency.
    #[must_use]
    pub fn requires(mut self, service: impl Into<Arc<str>>) -> Self {
        self.requires.push(service.into());
        self
    }

    /// Adds a soft dependency.
    #[must_use]
    pub fn wants(mut self, service: impl Into<Arc<str>>) -> Self {
        self.wants.push(service.into());
        self
    }

    /// Makes the service optional: the application runs without it, degraded.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// Sets how long a start may take.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Sets how long a stop may take.
    #[must_use]
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = timeout;
        self
    }

    /// Sets whether it is started again when it fails.
    ///
    /// A required service that fails while the application as a whole is starting ends that start
    /// none the less.
    #[must_use]
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }
}
