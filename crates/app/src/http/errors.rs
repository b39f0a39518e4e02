//! What the errors of the crates below become on the wire.

use steadfast_notifications::{
    ChannelError, Invalid, NotificationError, PreferencesError, ScheduleError,
};
use steadfast_privacy::{ErasureError, PrivacyError};

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

impl From<PreferencesError> for Problem {
    fn from(error: PreferencesError) -> Self {
        let detail = error.to_string();
        match error {
            PreferencesError::Validate(invalid) => invalid.into(),
            PreferencesError::VersionMismatch { .. } => Self::new(Kind::VersionMismatch, detail),
            PreferencesError::Contended { .. } => Self::new(Kind::Conflict, detail),
            PreferencesError::Store { ref source, .. } if source.is_transient() => {
                Self::unavailable(&error)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<ChannelError> for Problem {
    fn from(error: ChannelError) -> Self {
        let detail = error.to_string();
        match error {
            ChannelError::Validate(invalid) => invalid.into(),
            ChannelError::Find { .. } | ChannelError::FindDelivery { .. } => {
                Self::new(Kind::NotFound, detail)
            }
            ChannelError::VersionMismatch { .. } => Self::new(Kind::VersionMismatch, detail),
            ChannelError::LimitReached { .. }
            | ChannelError::NoSecret { .. }
            | ChannelError::NotDead { .. }
            | ChannelError::NoChannel { .. } => Self::new(Kind::Conflict, detail),
            ChannelError::Store { ref source, .. } if source.is_transient() => {
                Self::unavailable(&error)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<PrivacyError> for Problem {
    fn from(error: PrivacyError) -> Self {
        match error {
            PrivacyError::InvalidPolicy { field, problem } => {
                return Self::field(format!("/{field}"), problem);
            }
            PrivacyError::PolicyVersion { .. } => {
                return Self::new(Kind::VersionMismatch, error.to_string());
            }
            _ => {}
        }
        if error.is_transient() {
            Self::unavailable(&error)
        } else {
            Self::internal(&error)
        }
    }
}

impl From<ErasureError> for Problem {
    fn from(error: ErasureError) -> Self {
        let detail = error.to_string();
        match error {
            ErasureError::Find { .. } => Self::new(Kind::NotFound, detail),
            ErasureError::Open { .. } | ErasureError::NotPending { .. } => {
                Self::new(Kind::Conflict, detail)
            }
            _ if error.is_transient() => Self::unavailable(&error),
            _ => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use steadfast_lease::{BackendError, LeaseError};
    use steadfast_privacy::{Operation, PortError};

    use super::*;

    #[test]
    fn lock_and_log_of_privacy_that_are_away_for_now_are_503_and_others_500() {
        let lock = |source| {
            let key = "privacy/cleanup".into();
            let source = LeaseError::Acquire { key, source };
            let operation = Operation::Cleanup;
            PrivacyError::Lock { operation, source }
        };
        let log = |source| PrivacyError::Log {
            action: "list runs",
            source,
        };
        for (error, status) in [
            (lock(BackendError::transient("database is locked")), 503),
            (lock(BackendError::permanent("no such table")), 500),
            (log(PortError::transient("database is locked")), 503),
            (log(PortError::permanent("no such table")), 500),
        ] {
            let text = error.to_string();
            let response = Problem::from(error).into_response();
            assert_eq!(response.status().as_u16(), status, "{text}");
        }
    }
}
