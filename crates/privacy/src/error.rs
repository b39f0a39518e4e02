use std::error::Error as StdError;

use steadfast_lease::LeaseError;
use thiserror::Error;

use crate::{Erasure, ErasureId, ErasureStatus, Operation, Records, Run};

/// A port could not do its work; what lies behind is the adapter's business.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct PortError {
    message: &'static str,
    transient: bool,
    #[source]
    source: Box<dyn StdError + Send + Sync>,
}

impl PortError {
    /// A failure that may be over when the call is repeated.
    pub fn transient(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            message: "temporarily unavailable",
            transient: true,
            source: source.into(),
        }
    }

    /// A failure that stays until somebody repairs its cause.
    pub fn permanent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            message: "failed for good",
            transient: false,
            source: source.into(),
        }
    }

    /// Whether it makes sense to try again.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.transient
    }
}

/// Why an operation of [`Privacy`](crate::Privacy) was not done, or not as a whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrivacyError {
    /// The run ended, but a part of its work failed; the run says which, and is stored.
    #[error("{} {} failed: {}", run.operation.name(), run.id, failures(run))]
    Incomplete {
        /// The run with its outcomes.
        run: Box<Run>,
    },
    /// The lock of the operation could not be asked for; nothing was done.
    #[error("cannot lock the {}", operation.name())]
    Lock {
        /// What was to be done.
        operation: Operation,
        /// Why not.
        #[source]
        source: LeaseError,
    },
    /// A change of a policy breaks a rule; nothing was stored.
    #[error("{field} {problem}")]
    InvalidPolicy {
        /// Which field of the change.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The policy has another version than the one that was to be changed.
    #[error("the policy for {records} was changed meanwhile; read it again")]
    PolicyVersion {
        /// Which policy.
        records: Records,
    },
    /// The store of the policies failed.
    #[error("cannot {action} the policies")]
    Policies {
        /// What was to be done.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
    /// The log of runs failed.
    #[error("cannot {action} in the log of runs")]
    Log {
        /// What was to be written or read.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
}

impl PrivacyError {
    /// Whether the same call may succeed later: the log or the lock was not to be had for now.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Incomplete { .. } | Self::InvalidPolicy { .. } | Self::PolicyVersion { .. } => {
                false
            }
            Self::Log { source, .. } | Self::Policies { source, .. } => source.is_transient(),
            Self::Lock {
                source: LeaseError::Acquire { source, .. },
                ..
            } => source.is_transient(),
            Self::Lock { .. } => true,
        }
    }
}

/// Why a request for erasure could not be made, read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErasureError {
    /// The user has an open request already.
    #[error("erasure {} of this user is {}", erasure.id, erasure.status.name())]
    Open {
        /// That request.
        erasure: Box<Erasure>,
    },
    /// There is no such request.
    #[error("there is no erasure {id}")]
    Find {
        /// What was looked for.
        id: ErasureId,
    },
    /// It cannot be cancelled any more.
    #[error("erasure {id} is {}, so it cannot be cancelled", status.name())]
    NotPending {
        /// Which request.
        id: ErasureId,
        /// How far it is.
        status: ErasureStatus,
    },
    /// A port failed.
    #[error("cannot {action}")]
    Store {
        /// What was to be done.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
}

impl ErasureError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Store { source, .. } if source.is_transient())
    }
}

/// A builder was given what does not work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {problem}")]
pub struct BuildError {
    /// Which setting is at fault.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// An error with all that lies behind it, in one line, to be stored.
pub(crate) fn in_full(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn failures(run: &Run) -> String {
    let policies = run.policies.iter().filter_map(|outcome| {
        let error = outcome.error.as_ref()?;
        Some(format!("{}: {error}", outcome.records))
    });
    let failures: Vec<_> = run.error.clone().into_iter().chain(policies).collect();
    failures.join("; ")
}
