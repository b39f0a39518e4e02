use std::sync::Arc;

/// How many alerts wait for a slow subscriber before it misses the oldest.
pub const ALERT_BUFFER: usize = 64;

/// A service fails again and again, or works again after that.
///
/// What counts as a failure is told at
/// [`ServiceSnapshot::failures`](crate::ServiceSnapshot::failures).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alert {
    /// The number of failures in a row has reached the
    /// [threshold](crate::LifecycleBuilder::failure_threshold); raised once until it recovers.
    FailsRepeatedly {
        /// The service.
        service: Arc<str>,
        /// How many failures there were in a row: the threshold.
        failures: u32,
        /// The last of them.
        error: Arc<str>,
    },
    /// A probe found the service well again.
    Recovered {
        /// The service.
        service: Arc<str>,
        /// How many failures in a row this ended.
        failures: u32,
    },
}

impl Alert {
    pub(crate) fn log(&self) {
        match self {
            Self::FailsRepeatedly {
                service,
                failures,
                error,
            } => tracing::error!(%service, failures, %error, "service fails repeatedly"),
            Self::Recovered { service, failures } => {
                tracing::info!(%service, failures, "service recovered");
            }
        }
    }
}
