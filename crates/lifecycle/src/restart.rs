use std::{collections::VecDeque, sync::Arc, time::Duration};

use steadfast_clock::Instant;
use steadfast_sync::{ConfigError, Registry, Retry};

use crate::{BuildError, Fault, ServiceSpec};

/// Whether a service that fails is started again.
///
/// Failures are: what it [reports](crate::FailureReporter) of itself, a start that does not succeed
/// while the others go on, and a time limit or a panic there. An unhealthy probe is none. An error
/// that is not [transient](crate::ServiceError::is_transient) would be the same the next time: it
/// ends the restarts.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use steadfast_lifecycle::{RestartPolicy, ServiceSpec};
///
/// let spec = ServiceSpec::new("mailer").optional().restart(RestartPolicy::OnFailure {
///     initial_delay: Duration::from_millis(200),
///     max_delay: Duration::from_secs(30),
///     max_restarts: 10,
///     within: Duration::from_secs(600),
/// });
/// assert_ne!(spec.restart, RestartPolicy::Never);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartPolicy {
    /// The first failure is for good.
    #[default]
    Never,
    /// It is stopped and, after a random delay, started again.
    ///
    /// The delay is drawn uniformly between zero and a ceiling that is `initial_delay` for the
    /// first restart and doubles with each one within the last `within`, up to `max_delay`
    /// ([full jitter](steadfast_sync::Jitter::Full)).
    OnFailure {
        /// The ceiling of the first delay.
        initial_delay: Duration,
        /// What the ceiling stops growing at.
        max_delay: Duration,
        /// The intensity: how many restarts there may be in any span as long as `within`. The
        /// failure after that is for good.
        max_restarts: u32,
        /// How far back restarts are counted.
        within: Duration,
    },
}

impl RestartPolicy {
    /// At most 5 restarts in a minute, with delays that grow from 100 ms to 10 s.
    #[must_use]
    pub fn on_failure() -> Self {
        Self::OnFailure {
            initial_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            max_restarts: 5,
            within: Duration::from_secs(60),
        }
    }
}

/// A policy that has been checked.
#[derive(Debug)]
pub(crate) struct Restarts {
    backoff: Retry,
    max_restarts: usize,
    within: Duration,
}

impl Restarts {
    /// `None` if there are no restarts.
    pub(crate) fn new(spec: &ServiceSpec) -> Result<Option<Self>, BuildError> {
        let RestartPolicy::OnFailure {
            initial_delay,
            max_delay,
            max_restarts,
            within,
        } = spec.restart
        else {
            return Ok(None);
        };
        let zero = |field| Err(ConfigError::Zero { field });
        let backoff = match () {
            () if max_restarts == 0 => zero("max_restarts"),
            () if within.is_zero() => zero("within"),
            () => Retry::builder()
                .initial_delay(initial_delay)
                .max_delay(max_delay)
                .registry(&Registry::new())
                .build(),
        };
        let backoff = backoff.map_err(|source| BuildError::RestartPolicy {
            service: Arc::clone(&spec.name),
            source,
        })?;
        Ok(Some(Self {
            backoff,
            max_restarts: usize::try_from(max_restarts).unwrap_or(usize::MAX),
            within,
        }))
    }

    /// How long to wait before the next restart; `None` if there is to be none.
    pub(crate) fn delay(
        &self,
        history: &mut History,
        fault: &Fault,
        now: Instant,
    ) -> Option<Duration> {
        if matches!(fault, Fault::Failed(error) if !error.is_transient()) {
            return None;
        }
        history.forget(now, self.within);
        let restarts = history.starts.len();
        if restarts >= self.max_restarts {
            return None;
        }
        let failures = u32::try_from(restarts + 1).unwrap_or(u32::MAX);
        Some(self.backoff.delay(failures))
    }
}

/// When a service was started again within the time that counts; never longer than the policy's
/// `max_restarts`.
#[derive(Debug, Default)]
pub(crate) struct History {
    starts: VecDeque<Instant>,
}

impl History {
    pub(crate) fn restarted(&mut self, now: Instant) {
        self.starts.push_back(now);
    }

    fn forget(&mut self, now: Instant, within: Duration) {
        let is_over = |start: &Instant| now.saturating_duration_since(*start) >= within;
        while self.starts.front().is_some_and(is_over) {
            self.starts.pop_front();
        }
    }
}
