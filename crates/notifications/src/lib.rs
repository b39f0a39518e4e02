//! Schedules, occurrences, notifications and their delivery: rules and ports, no SQL, no HTTP.

mod error;
mod ids;
mod notification;
mod page;
mod ports;
mod schedule;
mod store;
mod user_event;

pub use error::{BuildError, FieldError, Invalid, NotificationError, PortError, ScheduleError};
pub use ids::{NotificationId, ScheduleId, UserId, V7Ids};
pub use notification::{NewNotification, Notification, Occurrence};
pub use page::{Page, PageRequest};
pub use ports::{IdSource, Jobs, NotificationStore, OutboxStore, Push, ScheduleStore, Users};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{
    MockIdSource, MockJobs, MockNotificationStore, MockOutboxStore, MockPush, MockScheduleStore,
    MockUsers,
};
pub use schedule::{Channel, Dialect, Misfire, NewSchedule, Schedule, SchedulePatch};
pub use store::{
    Draft, FireOutcome, IdempotencyClaim, InsertOutcome, MAX_EVENTS_PER_USER, NotificationQuery,
    Order, OutboxClaim, PublishOutcome, RemoveOutcome, Settlement, StoredSchedule, SyncMark,
    UpdateOutcome,
};
pub use user_event::{EventPage, EventPayload, UserEvent};
