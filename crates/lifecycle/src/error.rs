use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use steadfast_sync::ConfigError;

use crate::{Signal, StopReport};

/// An opaque error of a [`Service`](crate::Service).
#[derive(Clone, Debug)]
pub struct ServiceError {
    source: Arc<dyn Error + Send + Sync>,
    transient: bool,
}

impl ServiceError {
    /// An error that will be the same the next time: bad configuration, a missing table.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_lifecycle::ServiceError;
    ///
    /// assert!(!ServiceError::permanent("no such table").is_transient());
    /// ```
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Arc::from(source.into()),
            transient: false,
        }
    }

    /// An error that may pass: a refused connection, a timeout.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Arc::from(source.into()),
            transient: true,
        }
    }

    /// Whether another attempt may succeed without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.transient
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for ServiceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

/// How one call of a service went wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The service returned or reported an error.
    #[error(transparent)]
    Failed(ServiceError),
    /// The service did not return in time; its future was dropped.
    #[error("timed out after {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The service panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// What it panicked with.
        message: String,
    },
}

/// Why a [`Lifecycle`](crate::Lifecycle) cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Services depend on each other in a circle, by hard or soft dependencies.
    #[error("services depend on each other in a circle: {}", path.join(" -> "))]
    Cycle {
        /// The circle, each service followed by one it depends on; the last is the first again.
        path: Vec<Arc<str>>,
    },
    /// A hard dependency names a service that is not there.
    #[error("service `{service}` requires `{dependency}`, which is not there")]
    MissingDep {
        /// Who requires it.
        service: Arc<str>,
        /// What is missing.
        dependency: Arc<str>,
    },
    /// Two services have the same name.
    #[error("two services are named `{name}`")]
    Duplicate {
        /// The name.
        name: Arc<str>,
    },
    /// A required service has a hard dependency on an optional one, so that it would be allowed
    /// to be missing and not allowed to.
    #[error(
        "required service `{service}` requires `{dependency}`, which is optional: \
         make the dependency required, or a `wants`"
    )]
    RequiresOptional {
        /// The required service.
        service: Arc<str>,
        /// The optional one.
        dependency: Arc<str>,
    },
    /// A service has an empty name.
    #[error("service number {index} has an empty name")]
    EmptyName {
        /// Its place in the order of registration, from zero.
        index: usize,
    },
    /// A time limit of a service is zero.
    #[error("`{field}` of service `{service}` is zero")]
    ZeroServiceTimeout {
        /// The service.
        service: Arc<str>,
        /// The field of its spec.
        field: &'static str,
    },
    /// The restart policy of a service cannot work.
    #[error("restart policy of service `{service}` cannot work")]
    RestartPolicy {
        /// The service.
        service: Arc<str>,
        /// The field of the policy, and what is wrong with it.
        #[source]
        source: ConfigError,
    },
    /// A setting of the builder is zero.
    #[error("`{field}` is zero")]
    ZeroSetting {
        /// The builder's method.
        field: &'static str,
    },
}

/// Why a start did not succeed. Everything that had been entered has been stopped again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A required service failed, in its start or later while others were starting.
    #[error("required service `{service}` failed during the start; rolled back: {rollback}")]
    RequiredFailed {
        /// The service.
        service: Arc<str>,
        /// How it failed.
        #[source]
        fault: Fault,
        /// What became of everything that had been entered, in the order of stopping.
        rollback: StopReport,
    },
    /// The time for the whole start was over.
    #[error("start timed out after {after:?} in service `{service}`; rolled back: {rollback}")]
    TimedOut {
        /// The service that had been starting for the longest.
        service: Arc<str>,
        /// The limit of the whole start.
        after: Duration,
        /// What became of everything that had been entered, in the order of stopping.
        rollback: StopReport,
    },
    /// A stop came before the start was complete.
    #[error("start was given up because a stop was asked for; rolled back: {rollback}")]
    Stopped {
        /// What became of everything that had been entered, in the order of stopping.
        rollback: StopReport,
    },
    /// The runtime shut down in the middle.
    #[error("runtime shut down during the start")]
    RuntimeGone,
}

/// Why a stop is not clean.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Some services failed to stop; all others were stopped none the less.
    #[error("not every service stopped cleanly: {report}")]
    ServicesFailed {
        /// What became of each, in the order of stopping.
        report: StopReport,
    },
    /// The runtime shut down in the middle.
    #[error("runtime shut down during the stop")]
    RuntimeGone,
}

/// Why [`Lifecycle::run_until_stopped`](crate::Lifecycle::run_until_stopped) did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The handlers of signals cannot be installed; nothing was started.
    #[error("cannot install the signal handlers")]
    InstallSignals {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The start failed.
    #[error("cannot start")]
    Start {
        /// The cause.
        #[source]
        source: StartError,
    },
    /// A required service failed for good while the application was running; everything was
    /// stopped.
    #[error("required service `{service}` failed{}; stopped: {stop}", after(*restarts))]
    ServiceFailed {
        /// The service.
        service: Arc<str>,
        /// How often it had been started again before.
        restarts: u32,
        /// The last failure: what it reported, or how its restart went wrong.
        #[source]
        source: Fault,
        /// What became of everything, in the order of stopping.
        stop: StopReport,
    },
    /// The application was asked to stop and did not do so cleanly.
    #[error("cannot stop cleanly")]
    Stop {
        /// The cause.
        #[source]
        source: StopError,
    },
    /// A third signal ended the wait for the services, some of which are still up.
    #[error("{signal} ended the stop before it was complete")]
    Killed {
        /// The third signal.
        signal: Signal,
    },
}

impl RunError {
    /// The exit code by the shells' convention: 128 + n for a process that signal n ended, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Killed { signal } => 128 + signal.number(),
            _ => 1,
        }
    }
}

fn after(restarts: u32) -> String {
    match restarts {
        0 => String::new(),
        1 => " after 1 restart".to_owned(),
        restarts => format!(" after {restarts} restarts"),
    }
}
