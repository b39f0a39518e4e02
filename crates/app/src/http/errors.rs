//! What the errors of the crates below become on the wire.

use steadfast_notifications::{Invalid, NotificationError, ScheduleError};
use steadfast_privacy::PrivacyError;

use super::problem::{FieldError, Kind, Problem};
use crate::accounts::AccountError;

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Invalid { field, detail } => Self::field(format!("/{field}"), detail),
            AccountError::AlreadySetUp | AccountError::UsernameTaken => {
                Self::new(Kind::Conflict, detail)
            }
            AccountError::WrongSetupToken | AccountError::SetupTokenExpired => {
                Self::new(Kind::SetupToken, detail)
            }
            AccountError::WrongPassword | AccountError::Unauthenticated => {
                Self::new(Kind::Unauthenticated, detail)
            }
            AccountError::TooManyAttempts { retry_after } => {
                Self::new(Kind::RateLimited, detail).retry_after(retry_after)
            }
            AccountError::NoSuchToken => Self::new(Kind::NotFound, detail),
            AccountError::Store { ref source } if source.is_transient() => {
                Self::unavailable(&error)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let errors = invalid.errors.into_iter();
        Self::fields(
            errors
                .map(|error| FieldError {
                    pointer: error.pointer,
                    detail: error.detail,
                })
                .collect(),
        )
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        let detail = error.to_string();
        match error {
            ScheduleError::Validate(invalid) => invalid.into(),
            ScheduleError::Find { .. } => Self::new(Kind::NotFound, detail),
            ScheduleError::VersionMismatch { .. } => Self::new(Kind::VersionMismatch, detail),
            ScheduleError::LimitReached { .. }
            | ScheduleError::Paused { .. }
            | ScheduleError::Contended { .. } => Self::new(Kind::Conflict, detail),
            ScheduleError::Store { ref source, .. } | ScheduleError::Jobs { ref source, .. }
                if source.is_transient() =>
            {
                Self::unavailable(&error)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<NotificationError> for Problem {
    fn from(error: NotificationError) -> Self {
        let detail = error.to_string();
        match error {
            NotificationError::Validate(invalid) => invalid.into(),
            NotificationError::Find { .. } => Self::new(Kind::NotFound, detail),
            NotificationError::KeyReused => Self::new(Kind::IdempotencyMismatch, detail),
            NotificationError::InFlight => Self::new(Kind::InFlight, detail),
            NotificationError::Store { ref source, .. } if source.is_transient() => {
                Self::unavailable(&error)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<PrivacyError> for Problem {
    fn from(error: PrivacyError) -> Self {
        match error {
            PrivacyError::Log { ref source, .. } if source.is_transient() => {
                Self::unavailable(&error)
            }
            _ => Self::internal(&error),
        }
    }
}
