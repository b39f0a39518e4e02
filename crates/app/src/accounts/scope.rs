use serde::{Deserialize, Serialize};

/// What an API token may do, within what its user may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub enum Scope {
    /// Read schedules.
    #[serde(rename = "schedules:read")]
    SchedulesRead,
    /// Read and write schedules.
    #[serde(rename = "schedules:write")]
    SchedulesWrite,
    /// Read notifications and receive them live.
    #[serde(rename = "notifications:read")]
    NotificationsRead,
    /// Publish, mark as read and delete notifications.
    #[serde(rename = "notifications:write")]
    NotificationsWrite,
    /// Publish to `topic:` channels.
    #[serde(rename = "topics:write")]
    TopicsWrite,
    /// Make users.
    #[serde(rename = "users:write")]
    UsersWrite,
    /// Run and read privacy operations.
    #[serde(rename = "privacy:write")]
    PrivacyWrite,
    /// See the system's state.
    #[serde(rename = "admin:read")]
    AdminRead,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 8] = [
        Self::SchedulesRead,
        Self::SchedulesWrite,
        Self::NotificationsRead,
        Self::NotificationsWrite,
        Self::TopicsWrite,
        Self::UsersWrite,
        Self::PrivacyWrite,
        Self::AdminRead,
    ];

    /// Its name, as stored and as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SchedulesRead => "schedules:read",
            Self::SchedulesWrite => "schedules:write",
            Self::NotificationsRead => "notifications:read",
            Self::NotificationsWrite => "notifications:write",
            Self::TopicsWrite => "topics:write",
            Self::UsersWrite => "users:write",
            Self::PrivacyWrite => "privacy:write",
            Self::AdminRead => "admin:read",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    /// Whether a token with this scope may do what `wanted` allows: writing includes reading.
    #[must_use]
    pub fn covers(self, wanted: Self) -> bool {
        self == wanted
            || matches!(
                (self, wanted),
                (Self::SchedulesWrite, Self::SchedulesRead)
                    | (Self::NotificationsWrite, Self::NotificationsRead)
            )
    }
}
