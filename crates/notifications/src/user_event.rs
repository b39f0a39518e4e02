use serde::{Deserialize, Serialize};

use crate::{Notification, NotificationId};

/// One entry of a user's event log: what goes to the channel `user:<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserEvent {
    /// Its place in the user's log: starts at one and grows by one, without gaps.
    pub offset: u64,
    /// What happened.
    pub payload: EventPayload,
}

/// What happened, in the JSON that clients receive.
///
/// # Examples
///
/// ```
/// use steadfast_notifications::EventPayload;
///
/// let read = EventPayload::Read { ids: Vec::new() };
/// assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"type":"read","ids":[]}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EventPayload {
    /// A notification was stored.
    Notification {
        /// The notification, as it was stored.
        notification: Notification,
    },
    /// Notifications were read.
    Read {
        /// Which ones.
        ids: Vec<NotificationId>,
    },
    /// Notifications were deleted.
    Deleted {
        /// Which ones.
        ids: Vec<NotificationId>,
    },
}

/// A part of a user's event log, with what a client needs to recover from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// Names this log's life: offsets of another epoch mean nothing.
    pub epoch: String,
    /// The offset of the user's newest event, zero if there was none yet.
    pub newest: u64,
    /// The events after the offset that was asked for, oldest first.
    ///
    /// The first one's offset is higher than the next one expected if events in between have
    /// been removed already.
    pub events: Vec<UserEvent>,
}
