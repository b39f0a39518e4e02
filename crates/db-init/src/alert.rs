use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

/// How many alerts wait for a slow subscriber before it misses the oldest.
pub const ALERT_BUFFER: usize = 64;

/// A database fails again and again, or is ready after that.
///
/// What counts as a failure is told at
/// [`DatabaseSnapshot::failures`](crate::DatabaseSnapshot::failures).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alert {
    /// The number of failures in a row has reached the
    /// [threshold](crate::DatabaseBuilder::failure_threshold); raised once until it is ready.
    FailsRepeatedly {
        /// The [name](crate::DatabaseBuilder::name) of the database.
        database: Arc<str>,
        /// How many failures there were in a row: the threshold.
        failures: u32,
        /// The last of them, with its causes.
        error: Arc<str>,
    },
    /// The database was initialised.
    Recovered {
        /// The name of the database.
        database: Arc<str>,
        /// How many failures in a row this ended.
        failures: u32,
    },
}

/// Counts the failures in a row, and tells of them.
pub(crate) struct Failures {
    name: Arc<str>,
    threshold: u32,
    state: Mutex<State>,
    alerts: broadcast::Sender<Alert>,
}

#[derive(Default)]
struct State {
    failures: u32,
    last_error: Option<Arc<str>>,
}

impl Failures {
    pub(crate) fn new(name: Arc<str>, threshold: u32) -> Self {
        Self {
            name,
            threshold,
            state: Mutex::default(),
            alerts: broadcast::Sender::new(ALERT_BUFFER),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn alerts(&self) -> broadcast::Receiver<Alert> {
        self.alerts.subscribe()
    }

    /// How many failures there were in a row, and the last one ever.
    pub(crate) fn figures(&self) -> (u32, Option<Arc<str>>) {
        let state = self.state();
        (state.failures, state.last_error.clone())
    }

    pub(crate) fn failed(&self, error: Arc<str>) {
        let mut state = self.state();
        state.last_error = Some(Arc::clone(&error));
        state.failures = state.failures.saturating_add(1);
        let failures = state.failures;
        drop(state);
        if failures == self.threshold {
            let database = Arc::clone(&self.name);
            tracing::error!(%database, failures, %error, "database fails repeatedly");
            self.raise(Alert::FailsRepeatedly {
                database,
                failures,
                error,
            });
        }
    }

    pub(crate) fn succeeded(&self) {
        let failures = std::mem::take(&mut self.state().failures);
        if failures >= self.threshold {
            let database = Arc::clone(&self.name);
            tracing::info!(%database, failures, "database recovered");
            self.raise(Alert::Recovered { database, failures });
        }
    }

    fn raise(&self, alert: Alert) {
        // Without subscribers there is nobody to tell.
        let _ = self.alerts.send(alert);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
