//! The audit log: who did what, to what, when, from where and by which request.
//!
//! An entry holds no secret, no name and no text that somebody typed: users are ids. Entries are
//! kept for as long as the policy for [`Records::AuditEntries`](steadfast_privacy::Records) says.

use std::net::IpAddr;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use steadfast_privacy::PortError;
use uuid::Uuid;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum AuditAction {
    /// The first administrator was made.
    #[serde(rename = "setup")]
    SetUp,
    /// Somebody logged in, or tried to.
    #[serde(rename = "login")]
    LogIn,
    /// Somebody logged out.
    #[serde(rename = "logout")]
    LogOut,
    /// A user was made.
    #[serde(rename = "user.create")]
    CreateUser,
    /// An API token was made.
    #[serde(rename = "token.create")]
    CreateToken,
    /// An API token was revoked.
    #[serde(rename = "token.delete")]
    DeleteToken,
    /// A retention policy was changed.
    #[serde(rename = "policy.change")]
    ChangePolicy,
    /// A privacy operation was asked for.
    #[serde(rename = "privacy.run")]
    RunPrivacy,
    /// A schedule was paused.
    #[serde(rename = "schedule.pause")]
    PauseSchedule,
    /// A schedule was resumed.
    #[serde(rename = "schedule.resume")]
    ResumeSchedule,
    /// A schedule was run beside its plan.
    #[serde(rename = "schedule.run")]
    RunSchedule,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 11] = [
        Self::SetUp,
        Self::LogIn,
        Self::LogOut,
        Self::CreateUser,
        Self::CreateToken,
        Self::DeleteToken,
        Self::ChangePolicy,
        Self::RunPrivacy,
        Self::PauseSchedule,
        Self::ResumeSchedule,
        Self::RunSchedule,
    ];

    /// The name in JSON and in a database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetUp => "setup",
            Self::LogIn => "login",
            Self::LogOut => "logout",
            Self::CreateUser => "user.create",
            Self::CreateToken => "token.create",
            Self::DeleteToken => "token.delete",
            Self::ChangePolicy => "policy.change",
            Self::RunPrivacy => "privacy.run",
            Self::PauseSchedule => "schedule.pause",
            Self::ResumeSchedule => "schedule.resume",
            Self::RunSchedule => "schedule.run",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// One thing that was done, or was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Names the entry; entries are listed by it, the newest first.
    pub id: Uuid,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What.
    pub action: AuditAction,
    /// Whether it was done, or refused.
    pub succeeded: bool,
    /// Who, where that is known: of a log-in that was refused, whose account it was.
    pub user_id: Option<Uuid>,
    /// What it was done to: an id, or the name of a policy or an operation.
    pub target: Option<String>,
    /// What changed.
    pub detail: Option<String>,
    /// From where, by IP address.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// By which request, as in its log lines.
    pub request_id: Option<Uuid>,
}

impl AuditEntry {
    /// An entry that says only what was done when.
    #[must_use]
    pub fn new(action: AuditAction, at: Timestamp) -> Self {
        let mut random = [0; 10];
        // Without randomness, of the entries of one millisecond one is kept.
        let _ = getrandom::fill(&mut random);
        let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        Self {
            id,
            at,
            action,
            succeeded: true,
            user_id: None,
            target: None,
            detail: None,
            address: None,
            request_id: None,
        }
    }
}

/// Which entries to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditQuery {
    /// Only those of one user.
    pub user_id: Option<Uuid>,
    /// Only those of one action.
    pub action: Option<AuditAction>,
    /// Only those with ids below this.
    pub before: Option<Uuid>,
    /// How many at most.
    pub limit: u32,
}

/// Where audit entries are kept.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[async_trait]
pub trait AuditLog: std::fmt::Debug + Send + Sync {
    /// Adds an entry; durable when it returns.
    ///
    /// # Errors
    ///
    /// If the log fails, or has an entry with this id.
    async fn record(&self, entry: &AuditEntry) -> Result<(), PortError>;

    /// Entries that are not past retention, the newest first.
    ///
    /// # Errors
    ///
    /// If the log fails.
    async fn list(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for action in AuditAction::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.name());
            assert_eq!(AuditAction::from_name(action.name()), Some(action));
        }
    }

    #[test]
    fn ids_are_in_the_order_of_their_times() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let ids = [1, 2, 3].map(|n| AuditEntry::new(AuditAction::LogIn, at(n)).id);
        assert!(ids.is_sorted());
        assert_eq!(ids[0].get_version_num(), 7);
    }
}
