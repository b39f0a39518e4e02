use std::{borrow::Cow, error::Error as StdError, time::Duration};

use thiserror::Error;

use crate::{Class, Dialect, MigrationId, Phase};

/// An error of a driver, with what was being done and where.
///
/// Opaque but for its [`class`](Self::class) and its [`remedy`](Self::remedy); the causes are in
/// the chain of [`source`](StdError::source).
#[derive(Debug, Error)]
#[error("{action}{}{}", if remedy.is_empty() { "" } else { "; " }, remedy)]
pub struct BackendError {
    class: Class,
    action: String,
    remedy: Cow<'static, str>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BackendError {
    /// A failure of `action`, which says in words what failed and where, such as
    /// `cannot connect to postgres at db.example:5432`.
    pub fn new(class: Class, action: impl Into<String>) -> Self {
        Self {
            class,
            action: action.into(),
            remedy: Cow::Borrowed(""),
            source: None,
        }
    }

    /// Says in words what somebody can do about it, such as `start the server there, or correct
    /// host and port in the URL`. It follows the action wherever the error is shown.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the failure says about the next try.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Whether another try may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class.is_transient()
    }

    /// What somebody can do about it, if the adapter knows.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        (!self.remedy.is_empty()).then_some(&*self.remedy)
    }
}

/// Why migrations were not applied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MigrationError {
    /// A migration that was applied has changed since.
    #[error(
        "migration {id} was applied with checksum {applied}, but this program carries {ours}: \
         restore its SQL as it was and put the change into a new migration"
    )]
    ChecksumMismatch {
        /// The migration that changed.
        id: MigrationId,
        /// The checksum in the ledger.
        applied: String,
        /// The checksum of the SQL that this program carries.
        ours: String,
    },
    /// The ledger has a version that this program does not know.
    #[error(
        "the database has migration {id}, but this program knows crate `{}` only up to version \
         {known}: run the newer program, or restore a backup from before its upgrade",
        id.crate_name
    )]
    UnknownVersion {
        /// The migration in the ledger.
        id: MigrationId,
        /// The newest version that this program knows; 0 if there is none.
        known: u32,
    },
    /// The ledger has a crate that this program does not know.
    #[error(
        "the database has migration {id}, but this program has no crate `{}`: run the program \
         that added it, or one that is built with that crate",
        id.crate_name
    )]
    UnknownCrate {
        /// The migration in the ledger.
        id: MigrationId,
    },
    /// The ledger lacks a version below one that it has.
    #[error(
        "the ledger lacks migration {missing} although it has version {newer}: somebody changed \
         the table `steadfast_migration` by hand; restore its row, or a backup"
    )]
    MissingVersion {
        /// The migration that the ledger lacks.
        missing: MigrationId,
        /// A later version that it has.
        newer: u32,
    },
    /// Another process held the lock on migrations for too long.
    #[error(
        "another process has held the lock on migrations for {waited:?}: wait for it, or find it \
         in `pg_locks` (locktype advisory) and end it"
    )]
    Locked {
        /// How long the lock was waited for.
        waited: Duration,
    },
    /// The ledger could not be read or written.
    #[error("cannot {operation} the migration ledger")]
    Ledger {
        /// What was tried.
        operation: LedgerOperation,
        /// Why it failed.
        #[source]
        source: BackendError,
    },
    /// A migration's SQL failed; nothing was applied.
    #[error("migration {id} failed, and no migration of this run was applied")]
    Apply {
        /// The migration that failed.
        id: MigrationId,
        /// Why it failed.
        #[source]
        source: BackendError,
    },
}

impl MigrationError {
    /// What the failure says about the next try.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Locked { .. } => Class::Transient,
            Self::Ledger { source, .. } | Self::Apply { source, .. } => source.class(),
            _ => Class::Permanent,
        }
    }
}

/// What was being done with the ledger when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerOperation {
    /// Connecting in order to use it.
    Reach,
    /// Taking the lock or the transaction around it.
    Lock,
    /// Creating or reading it.
    Read,
    /// Adding a row.
    Write,
    /// Committing the migrations and their rows.
    Commit,
}

impl std::fmt::Display for LedgerOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reach => "reach",
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write to",
            Self::Commit => "commit",
        })
    }
}

/// Why one attempt failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// No pool could be opened.
    #[error(transparent)]
    Connect(BackendError),
    /// The pool was open, but the server did not answer through it.
    #[error(transparent)]
    Ping(BackendError),
    /// The migrations were not applied.
    #[error(transparent)]
    Migrate(MigrationError),
}

impl AttemptError {
    /// What the failure says about the next try.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Connect(error) | Self::Ping(error) => error.class(),
            Self::Migrate(error) => error.class(),
        }
    }
}

/// Why a database was not initialised.
///
/// Every caller that joined the same attempt gets the same object, in an `Arc`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitError {
    /// Trying again cannot help: somebody must change something first.
    #[error("the database cannot be initialised, and trying again cannot help")]
    Permanent {
        /// Why.
        #[source]
        source: BackendError,
    },
    /// Earlier attempts failed so often that the circuit breaker admits none for now.
    #[error(
        "the database failed repeatedly, and the circuit breaker admits no attempt {}",
        until(*retry_after)
    )]
    CircuitOpen {
        /// When to ask again at the earliest; `None` while the breaker is isolated by hand.
        retry_after: Option<Duration>,
    },
    /// The number of attempts is used up.
    #[error("the database could not be initialised in {attempts} attempts")]
    Exhausted {
        /// The number of attempts that were made.
        attempts: u32,
        /// Why the last one failed.
        #[source]
        last: AttemptError,
    },
    /// The time is used up.
    #[error("{location} was not initialised in time; the deadline passed while {phase}")]
    Deadline {
        /// Where the database is, as its backend says.
        location: String,
        /// What was at work when the deadline passed.
        phase: Phase,
        /// Why the last attempt that ended had failed, if one had.
        #[source]
        last: Option<AttemptError>,
    },
    /// The migrations cannot be applied, and trying again cannot help.
    #[error("the database's schema cannot be brought up to date")]
    Migration {
        /// Why.
        #[source]
        source: MigrationError,
    },
    /// The database was closed while it was being initialised.
    #[error("the database was shut down while it was being initialised")]
    ShutDown,
    /// The backend panicked.
    #[error("the database's backend panicked while {phase}: {message}")]
    Panicked {
        /// What was at work.
        phase: Phase,
        /// What the panic said.
        message: String,
    },
    /// Another caller's attempt is at work, and this call was not to join it.
    #[error("the database is being initialised by another caller")]
    AlreadyInProgress,
}

/// When the breaker admits an attempt again.
fn until(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(
        || "until it is released by hand".to_owned(),
        |after| format!("for another {after:.1?}"),
    )
}

/// A set of migrations that contradicts itself.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationSetError {
    /// A crate without a name.
    #[error("the name of a crate with migrations is empty")]
    EmptyCrateName,
    /// A crate that was added twice.
    #[error("the migrations of crate `{crate_name}` were added twice")]
    DuplicateCrate {
        /// The crate.
        crate_name: &'static str,
    },
    /// Versions that do not count 1, 2, 3…
    #[error(
        "migration {version} of crate `{crate_name}` stands where version {expected} is expected"
    )]
    VersionOrder {
        /// The crate.
        crate_name: &'static str,
        /// The version found.
        version: u32,
        /// The version expected in its place.
        expected: u32,
    },
    /// A migration without SQL.
    #[error("migration {version} of crate `{crate_name}` has no SQL for {dialect:?}")]
    EmptySql {
        /// The crate.
        crate_name: &'static str,
        /// The version.
        version: u32,
        /// The dialect whose text is empty.
        dialect: Dialect,
    },
}

/// An option with a value that cannot work.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct ConfigError {
    field: &'static str,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, reason: &str) -> Self {
        Self {
            field,
            message: format!("`{field}` {reason}"),
        }
    }

    pub(crate) fn from_sync(error: steadfast_sync::ConfigError) -> Self {
        Self {
            field: error.field(),
            message: error.to_string(),
        }
    }

    /// The option or argument that was refused.
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }
}

/// Writes an error and its causes in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn StdError + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
