use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{NotificationId, ScheduleId, UserId};

/// One message to one user, stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notification {
    /// Names the notification; live pushes are deduplicated on it.
    pub id: NotificationId,
    /// Its place among the user's notifications: starts at one and grows by one, without gaps.
    pub seq: u64,
    /// Who receives it.
    pub user_id: UserId,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// A label to filter by.
    pub topic: Option<String>,
    /// Whether it passes quiet hours.
    pub urgent: bool,
    /// The schedule that fired, unless it was published.
    pub schedule_id: Option<ScheduleId>,
    /// The instant for which the schedule planned it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub scheduled_for: Option<Timestamp>,
    /// When it was stored.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When the user read it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub read_at: Option<Timestamp>,
}

/// What a program says to publish a [`Notification`]; not validated yet.
///
/// Only `user_id` and `title` are required when it is deserialised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewNotification {
    /// Who receives it.
    pub user_id: UserId,
    /// See [`Notification::title`].
    pub title: String,
    /// See [`Notification::body`]; empty by default.
    #[serde(default)]
    pub body: String,
    /// See [`Notification::topic`].
    #[serde(default)]
    pub topic: Option<String>,
    /// See [`Notification::urgent`]; false by default.
    #[serde(default)]
    pub urgent: bool,
    /// The names of [`ChannelKind`](crate::ChannelKind)s; the user's own choice by default.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
}

/// One planned fire of one schedule: what must be stored once, whatever crashes or races.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Occurrence {
    /// Which schedule.
    pub schedule_id: ScheduleId,
    /// For which instant.
    pub scheduled_for: Timestamp,
}
