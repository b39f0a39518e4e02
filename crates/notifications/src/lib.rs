//! Schedules, occurrences, notifications and their delivery: rules and ports, no SQL, no HTTP.

mod error;
mod ids;
mod job_sync;
mod notification;
mod notifications;
mod outbox_relay;
mod outbox_signal;
mod page;
mod ports;
mod preview;
mod schedule;
mod schedule_fired;
mod schedule_input;
mod scheduler_jobs;
mod schedules;
mod store;
mod timetable;
mod user_event;
mod validation;
mod wall;

#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

pub use error::{BuildError, FieldError, Invalid, NotificationError, PortError, ScheduleError};
pub use ids::{NotificationId, ScheduleId, UserId, V7Ids};
pub use job_sync::{JobSync, Reconciled};
pub use notification::{NewNotification, Notification, Occurrence};
pub use notifications::{IDEMPOTENCY_WINDOW, ListNotifications, Notifications};
pub use outbox_relay::{OutboxRelay, OutboxRelayBuilder};
pub use outbox_signal::OutboxSignal;
pub use page::{Page, PageRequest};
pub use ports::{IdSource, Jobs, NotificationStore, OutboxStore, Push, ScheduleStore, Users};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{
    MockIdSource, MockJobs, MockNotificationStore, MockOutboxStore, MockPush, MockScheduleStore,
    MockUsers,
};
pub use preview::{MAX_PREVIEW_FIRES, Preview, PreviewRequest, ScheduleView};
pub use schedule::{Channel, Dialect, Misfire, NewSchedule, Schedule, SchedulePatch};
pub use schedule_fired::ScheduleFired;
pub use scheduler_jobs::SchedulerJobs;
pub use schedules::{Schedules, SchedulesBuilder};
pub use store::{
    Draft, FireOutcome, IdempotencyClaim, InsertOutcome, MAX_EVENTS_PER_USER, NotificationQuery,
    Order, OutboxClaim, PublishOutcome, RemoveOutcome, Settlement, StoredSchedule, SyncMark,
    UpdateOutcome,
};
pub use user_event::{EventPage, EventPayload, UserEvent};
pub use validation::{MAX_BODY, MAX_IDEMPOTENCY_KEY, MAX_IDS, MAX_TITLE, MAX_TOPIC};
