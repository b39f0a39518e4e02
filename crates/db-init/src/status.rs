use std::{fmt, sync::Arc, time::Duration};

use crate::InitError;

/// Where a [`Database`](crate::Database) stands.
///
/// Generations count from 1: each attempt to initialise that is not joined to an earlier one
/// starts the next. Attempts count from 1 within a generation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// Never initialised, or every caller of the last initialisation went away.
    Idle,
    /// Opening the pool, waiting to try again, or waiting for the circuit breaker.
    Connecting {
        /// The generation at work.
        generation: u64,
        /// The attempt within the generation.
        attempt: u32,
    },
    /// Applying migrations.
    Migrating {
        /// The generation at work.
        generation: u64,
        /// The attempt within the generation.
        attempt: u32,
    },
    /// The pool is open, answers, and the schema is up to date.
    Ready {
        /// The generation that opened the pool.
        generation: u64,
    },
    /// The pool takes no new work and waits for its connections to come back.
    Closing {
        /// The generation that is being closed.
        generation: u64,
    },
    /// Closed; the next initialisation opens a new pool.
    Closed {
        /// The generation that was closed.
        generation: u64,
    },
    /// The last generation failed, or the circuit breaker refused it; the next call starts a new
    /// one.
    Failed {
        /// The generation that failed.
        generation: u64,
        /// Why; the object that its callers got.
        error: Arc<InitError>,
    },
}

impl Status {
    /// The generation that the status speaks of; 0 for [`Idle`](Self::Idle).
    #[must_use]
    pub fn generation(&self) -> u64 {
        match self {
            Self::Idle => 0,
            Self::Connecting { generation, .. }
            | Self::Migrating { generation, .. }
            | Self::Ready { generation }
            | Self::Closing { generation }
            | Self::Closed { generation }
            | Self::Failed { generation, .. } => *generation,
        }
    }

    /// Whether the pool is open and the schema is up to date.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Connecting {
                generation,
                attempt,
            } => write!(f, "connecting (generation {generation}, attempt {attempt})"),
            Self::Migrating {
                generation,
                attempt,
            } => write!(f, "migrating (generation {generation}, attempt {attempt})"),
            Self::Ready { generation } => write!(f, "ready (generation {generation})"),
            Self::Closing { generation } => write!(f, "closing (generation {generation})"),
            Self::Closed { generation } => write!(f, "closed (generation {generation})"),
            Self::Failed { generation, error } => {
                write!(f, "failed (generation {generation}): {error}")
            }
        }
    }
}

/// How a [`Database`](crate::Database) was when it was [looked at](crate::Database::snapshot).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatabaseSnapshot {
    /// Its [name](crate::DatabaseBuilder::name).
    pub name: Arc<str>,
    /// Where it stands.
    pub status: Status,
    /// How often it failed in a row: attempts that failed, panicked or were cut off by the
    /// deadline, since it was ready last. Closing it does not reset the number, and what the
    /// circuit breaker refuses is no failure.
    pub failures: u32,
    /// The last failure with its causes, also when it works again.
    pub last_error: Option<Arc<str>>,
    /// What its pool holds; `None` while there is none to be had.
    pub stats: Option<PoolStats>,
}

/// The step of an attempt to initialise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Opening the pool, or waiting to try again.
    Connect,
    /// Asking the server for an answer through the pool.
    Ping,
    /// Applying migrations.
    Migrate,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Ping => "pinging",
            Self::Migrate => "migrating",
        })
    }
}

/// What a pool holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Open connections, idle ones included.
    pub open: u32,
    /// Open connections that nobody uses.
    pub idle: u32,
    /// The most connections that may be open at once.
    pub max: u32,
}

impl PoolStats {
    /// Connections that are checked out.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.open.saturating_sub(self.idle)
    }
}

/// The outcome of [`Database::close`](crate::Database::close).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// The generation that was closed; 0 if there was nothing to close.
    pub generation: u64,
    /// Connections that were still checked out when the time was up.
    ///
    /// Nobody can open new ones through the closed pool; each of these is closed when its
    /// holder drops it.
    pub leaked: u32,
    /// Whether everything had ended within the time: the pool is empty and no initialisation
    /// is at work.
    pub complete: bool,
    /// How long the close took.
    pub waited: Duration,
}
