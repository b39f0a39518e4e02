use std::{error::Error as StdError, fmt};

use serde::{Deserialize, Serialize};
use steadfast_sync::LockError;
use thiserror::Error;

use crate::{NotificationId, ScheduleId};

/// A port could not do its work; what lies behind is the adapter's business.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct PortError {
    message: &'static str,
    transient: bool,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl PortError {
    /// A failure that may be over when the call is repeated.
    pub fn transient(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new("temporarily unavailable", true, source)
    }

    /// A failure that stays until somebody repairs its cause.
    pub fn permanent(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new("failed for good", false, source)
    }

    /// Whether it makes sense to try again.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.transient
    }

    fn new(
        message: &'static str,
        transient: bool,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            message,
            transient,
            source: Some(source.into()),
        }
    }
}

/// Everything that is wrong with what somebody sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Invalid {
    /// The fields at fault, in the order of the fields; never empty.
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Where the field is: a JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)).
    pub pointer: String,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldError { pointer, detail }) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{pointer}: {detail}")?;
        }
        Ok(())
    }
}

/// Why a call of [`Schedules`](crate::Schedules) failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// What was sent is not valid.
    #[error(transparent)]
    Validate(Invalid),
    /// The user has no such schedule.
    #[error("there is no schedule {id}")]
    Find {
        /// The id that was looked for.
        id: ScheduleId,
    },
    /// The schedule has changed since the caller saw it.
    #[error("version {expected} was expected, but {actual} is stored")]
    VersionMismatch {
        /// The version that the caller expected.
        expected: u64,
        /// The stored version.
        actual: u64,
    },
    /// The user has as many schedules as allowed.
    #[error("the limit of {limit} schedules is reached")]
    LimitReached {
        /// How many a user may have.
        limit: u32,
    },
    /// A paused schedule was asked to run.
    #[error("schedule {id} is paused")]
    Paused {
        /// Which one.
        id: ScheduleId,
    },
    /// Other processes kept changing the schedule at the same time.
    #[error("schedule {id} was changed by others during each of {attempts} attempts")]
    Contended {
        /// Which one.
        id: ScheduleId,
        /// How often it was tried.
        attempts: u32,
    },
    /// The lock of the user could not be taken.
    #[error("the user's schedules are busy")]
    Lock(#[source] LockError),
    /// The store failed.
    #[error("could not {operation}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
    /// The scheduler failed.
    #[error("could not {operation}")]
    Jobs {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
}

/// Why a call of [`Notifications`](crate::Notifications) failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NotificationError {
    /// What was sent is not valid.
    #[error(transparent)]
    Validate(Invalid),
    /// The user has no such notification.
    #[error("there is no notification {id}")]
    Find {
        /// The id that was looked for.
        id: NotificationId,
    },
    /// Something else was published under this idempotency key.
    #[error("the idempotency key was used for something else")]
    KeyReused,
    /// A publication under this idempotency key is under way.
    #[error("a publication with this idempotency key is under way")]
    InFlight,
    /// The store failed.
    #[error("could not {operation}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
}

/// Why a call of [`UserPreferences`](crate::UserPreferences) failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PreferencesError {
    /// What was sent is not valid.
    #[error(transparent)]
    Validate(Invalid),
    /// The preferences have changed since the caller saw them.
    #[error("version {expected} was expected, but {actual} is stored")]
    VersionMismatch {
        /// The version that the caller expected.
        expected: u64,
        /// The stored version.
        actual: u64,
    },
    /// Other processes kept changing them at the same time.
    #[error("the preferences were changed by others during each of {attempts} attempts")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The lock of the user could not be taken.
    #[error("the user's preferences are busy")]
    Lock(#[source] LockError),
    /// The store failed.
    #[error("could not {operation}")]
    Store {
        /// What was being done.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: PortError,
    },
}

/// A builder was given what does not work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {problem}")]
pub struct BuildError {
    /// Which setting is at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}
