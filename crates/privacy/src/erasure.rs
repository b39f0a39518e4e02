use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names one [`Erasure`]; a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
pub struct ErasureId(Uuid);

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ErasureStatus {
    /// It waits for its time, and may be cancelled.
    Pending,
    /// It was cancelled; nothing was deleted.
    Cancelled,
    /// It has begun, or its process has died; the next run goes on with it.
    Running,
    /// Nothing of the user is left.
    Completed,
    /// The last try did not get to the end; the next run tries again.
    Failed,
}

/// What is known of the request to erase one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Erasure {
    /// Names the request; requests are listed by it, the newest first.
    pub id: ErasureId,
    /// Who is to be erased.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
    pub user_id: Uuid,
    /// When it was asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub requested_at: Timestamp,
    /// From when on it is carried out; until then it may be cancelled.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub due_at: Timestamp,
    /// How far it is.
    pub status: ErasureStatus,
    /// When it was completed or cancelled.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<Timestamp>,
    /// Why the last try failed.
    pub error: Option<String>,
    /// What was erased, once it is completed.
    pub receipt: Option<Receipt>,
}

/// The proof of a completed erasure. It says how much there was, and nothing of what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// Of which request.
    pub request_id: ErasureId,
    /// Who was erased: an id that names nobody any more.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
    pub user_id: Uuid,
    /// When it was asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub requested_at: Timestamp,
    /// When the last row was gone.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub finished_at: Timestamp,
    /// How many rows were erased, by table, in the order of the tables' names; tables without any
    /// are not named.
    pub tables: Vec<ErasedRows>,
}

/// How many rows of one table an erasure has erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErasedRows {
    /// Which table.
    pub table: String,
    /// How many rows.
    pub rows: u64,
}

/// Remembers that a user was erased, so that a database that was restored from an older backup can
/// be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Who was erased.
    pub user_id: Uuid,
    /// By which request.
    pub request_id: ErasureId,
    /// When.
    pub erased_at: Timestamp,
}

impl ErasureId {
    /// Wraps a UUID.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID inside.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for ErasureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ErasureId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl ErasureStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Cancelled,
        Self::Running,
        Self::Completed,
        Self::Failed,
    ];

    /// The name in JSON and in a database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Cancelled => "cancelled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// What has that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether something is still to be done.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Failed)
    }

    /// Whether it has begun and is not completed: the user cannot log in any more.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for status in ErasureStatus::ALL {
            assert_eq!(json!(status), json!(status.name()));
            assert_eq!(ErasureStatus::from_name(status.name()), Some(status));
        }
    }
}
