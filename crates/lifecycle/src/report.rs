use std::{fmt, sync::Arc, time::Duration};

use crate::Fault;

/// What became of each service in a start that succeeded, in the order in which their starts
/// ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StartReport {
    /// One entry a service.
    pub services: Vec<ServiceStart>,
}

/// What became of one service in a start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceStart {
    /// The service.
    pub name: Arc<str>,
    /// What became of it.
    pub outcome: StartOutcome,
    /// How long its start took.
    pub elapsed: Duration,
}

/// What became of one service in a start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartOutcome {
    /// Its start succeeded. Whether it is still up is in the [`Snapshot`](crate::Snapshot).
    Started,
    /// It is optional and failed.
    Failed(Fault),
    /// It was not tried, because a hard dependency is not up.
    Skipped {
        /// That dependency.
        dependency: Arc<str>,
    },
}

impl StartReport {
    /// Whether every service came up.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.services
            .iter()
            .all(|service| matches!(service.outcome, StartOutcome::Started))
    }
}

/// What became of each service that was entered when the stop began, in the order of stopping.
///
/// What was stopped before, for a restart or because a dependency had failed for good, is not in
/// it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StopReport {
    /// One entry a service.
    pub services: Vec<ServiceStop>,
}

/// What became of one service in a stop.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceStop {
    /// The service.
    pub name: Arc<str>,
    /// `None` if it stopped cleanly.
    pub fault: Option<Fault>,
    /// How long its stop took.
    pub elapsed: Duration,
}

impl StopReport {
    /// Whether every service stopped cleanly.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.services.iter().all(|service| service.fault.is_none())
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.services.is_empty() {
            return f.write_str("nothing");
        }
        for (index, service) in self.services.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            match &service.fault {
                None => write!(f, "{separator}`{}` stopped", service.name)?,
                Some(fault) => write!(f, "{separator}`{}` failed ({fault})", service.name)?,
            }
        }
        Ok(())
    }
}
