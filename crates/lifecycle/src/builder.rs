use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use crate::{
    BuildError, Lifecycle, LifecycleHandle, Service, board::Board, graph::Graph, run::Limits,
};

/// Collects services and settings of a [`Lifecycle`].
pub struct LifecycleBuilder {
    services: Vec<Arc<dyn Service>>,
    handle: LifecycleHandle,
    clock: Arc<dyn Clock>,
    limits: Limits,
    failure_threshold: u32,
}

impl LifecycleBuilder {
    pub(crate) fn new() -> Self {
        Self {
            services: Vec::new(),
            handle: LifecycleHandle::detached(),
            clock: Arc::new(SystemClock),
            limits: Limits {
                start_timeout: Duration::from_secs(120),
                parallel_starts: 1,
                probe_interval: Duration::from_secs(5),
                probe_timeout: Duration::from_secs(1),
            },
            failure_threshold: 3,
        }
    }

    /// Adds a service. Among services whose turn has come, the one that was added first starts
    /// first.
    #[must_use]
    pub fn service(mut self, service: Arc<dyn Service>) -> Self {
        self.services.push(service);
        self
    }

    /// Sets where the time comes from; [`SystemClock`] by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long the start of all services together may take; 120 s by default.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.limits.start_timeout = timeout;
        self
    }

    /// Sets how many services may be starting at once; 1 by default, so that the order of starting
    /// is the same every time.
    ///
    /// A service starts when its dependencies have started (the soft ones may also have failed) and
    /// fewer than `services` others are starting. Stops are one at a time all the same, in the
    /// reverse order of the starts.
    #[must_use]
    pub fn parallel_starts(mut self, services: usize) -> Self {
        self.limits.parallel_starts = services;
        self
    }

    /// Sets the time between two rounds of health probes; 5 s by default.
    #[must_use]
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.limits.probe_interval = interval;
        self
    }

    /// Sets how long one health probe may take; 1 s by default. A service that does not answer in
    /// time is unhealthy.
    #[must_use]
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.limits.probe_timeout = timeout;
        self
    }

    /// Sets how many failures of a service in a row raise an [alert](LifecycleHandle::alerts); 3 by
    /// default.
    #[must_use]
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures;
        self
    }

    /// The handle of the lifecycle to be, for services that show its snapshot.
    #[must_use]
    pub fn handle(&self) -> LifecycleHandle {
        self.handle.clone()
    }

    /// Checks the graph of services and the settings.
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming the service or setting at fault.
    pub fn build(self) -> Result<Lifecycle, BuildError> {
        for (field, is_zero) in [
            ("start_timeout", self.limits.start_timeout.is_zero()),
            ("parallel_starts", self.limits.parallel_starts == 0),
            ("probe_interval", self.limits.probe_interval.is_zero()),
            ("probe_timeout", self.limits.probe_timeout.is_zero()),
            ("failure_threshold", self.failure_threshold == 0),
        ] {
            if is_zero {
                return Err(BuildError::ZeroSetting { field });
            }
        }
        let graph = Graph::new(self.services)?;
        Ok(Lifecycle::new(
            graph,
            Board::new(self.handle, self.clock, self.failure_threshold),
            self.limits,
        ))
    }
}

impl fmt::Debug for LifecycleBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifecycleBuilder")
            .field("services", &self.services.len())
            .field("limits", &self.limits)
            .field("failure_threshold", &self.failure_threshold)
            .finish_non_exhaustive()
    }
}
