use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// The name it logs in by.
    pub username: Username,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Their own schedules and notifications.
    User,
    /// Also see the system's state and act on it, and notify others.
    Operator,
    /// Also read the audit log and the compliance reports.
    Auditor,
    /// Everything, users included.
    Admin,
}

impl Role {
    /// Its name, as stored and as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::User, Self::Operator, Self::Auditor, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == name)
    }

    /// Whether it sees and acts on the whole system's state.
    #[must_use]
    pub fn is_operator(self) -> bool {
        matches!(self, Self::Operator | Self::Admin)
    }
}

/// A name to log in by: 1 to 64 of `a-z 0-9 . _ @ -`, kept in lower case, so that two names never
/// differ by case alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// What is allowed, if it is not.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '-');
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            return Err("must be 1 to 64 letters, digits or any of . _ @ -");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
