use std::{sync::Arc, time::Duration};

use crate::Dst;

/// What happens to occurrences that were missed: those later than the scheduler's grace.
///
/// An occurrence within the grace fires whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Misfire {
    /// None fires; each is counted as skipped.
    Skip,
    /// The latest fires, for all; the others are counted as skipped.
    #[default]
    OnceLatest,
    /// The latest `max` of those not older than `window` fire, oldest first.
    All {
        /// How many fire at most: 1 to [`Misfire::MAX_ALL`].
        max: u32,
        /// How old an occurrence may be.
        window: Duration,
    },
}

impl Misfire {
    /// The greatest `max` of [`Misfire::All`].
    pub const MAX_ALL: u32 = 1_000;
}

/// What happens when an occurrence falls due while the job's previous run is at work.
///
/// Occurrences that had fallen due before that run began (after a pause of the process, say) are
/// no overlap: under every policy but [`Replace`](Self::Replace) they wait and fire in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The occurrence is skipped, and counted.
    #[default]
    Skip,
    /// The latest such occurrence fires when the run ends; the others are skipped, and counted.
    QueueOne,
    /// Up to this many runs at a time; beyond it, as [`Skip`](Self::Skip).
    Allow(u32),
    /// The run is cancelled, and the occurrence fires when it has ended.
    Replace,
}

/// What becomes of a run whose process died before its outcome was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Execution {
    /// It is run again once its lease has ended.
    #[default]
    AtLeastOnce,
    /// It is not run again; its outcome is [`Outcome::Abandoned`](crate::Outcome::Abandoned).
    AtMostOnce,
}

/// The name of an exclusion shared by several jobs: of those with the same name, one runs at a
/// time in this process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockName(Arc<str>);

impl LockName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for LockName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for LockName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

/// How a job's occurrences are treated; everything about a [`Job`](crate::Job) but when it fires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Missed occurrences.
    pub misfire: Misfire,
    /// Occurrences that fall due during a run.
    pub overlap: Overlap,
    /// Runs whose process died.
    pub execution: Execution,
    /// How long a run may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// Occurrences start up to this much later, by a part that depends on the key alone, so that
    /// jobs with the same schedule spread out. It never changes an occurrence's `scheduled_for`.
    pub jitter: Duration,
    /// An exclusion shared with other jobs.
    pub lock: Option<LockName>,
    /// Wall times that a zone skips or repeats.
    pub dst: Dst,
}
