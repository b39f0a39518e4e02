use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of record that is kept for a limited time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum Records {
    /// Notifications that their users have read, by the time of reading.
    ReadNotifications,
    /// Notifications that nobody has read, by the time of storing.
    UnreadNotifications,
    /// The entries of users' event logs, by the time of storing.
    UserEvents,
    /// Which occurrences of schedules were stored, by the time of storing.
    Occurrences,
    /// Idempotency keys with their answers, by the time of their first use.
    IdempotencyKeys,
    /// Sessions of users, by the time of their end.
    Sessions,
    /// What was done by whom, by the time of doing.
    AuditEntries,
    /// Runs of this crate's operations, by the time of their beginning.
    PrivacyRuns,
}

/// The text names no [`Records`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no kind of record")]
pub struct UnknownRecords {
    /// The text.
    pub text: String,
}

impl Records {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::ReadNotifications,
        Self::UnreadNotifications,
        Self::UserEvents,
        Self::Occurrences,
        Self::IdempotencyKeys,
        Self::Sessions,
        Self::AuditEntries,
        Self::PrivacyRuns,
    ];

    /// The name in JSON and in a database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadNotifications => "read_notifications",
            Self::UnreadNotifications => "unread_notifications",
            Self::UserEvents => "user_events",
            Self::Occurrences => "occurrences",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::Sessions => "sessions",
            Self::AuditEntries => "audit_entries",
            Self::PrivacyRuns => "privacy_runs",
        }
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Records {
    type Err = UnknownRecords;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|records| records.name() == text);
        known.ok_or_else(|| UnknownRecords {
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for records in Records::ALL {
            assert_eq!(serde_json::to_value(records).unwrap(), records.name());
            assert_eq!(records.name().parse(), Ok(records));
        }
        assert!("smoke_signals".parse::<Records>().is_err());
    }
}
