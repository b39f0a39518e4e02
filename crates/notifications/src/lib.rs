//! Schedules, notifications and their way to live clients: rules and ports, no SQL, no HTTP.
//!
//! For: a service whose users have schedules (a cron expression in a time zone) that each store a
//! notification when they fire, and whose programs publish notifications of their own; each is
//! pushed live to every client that its user has connected. Not for: deciding when a schedule
//! fires, which `steadfast-scheduler` does, or carrying a push to a browser, which is behind the
//! port [`Push`].
//!
//! # Guarantees
//!
//! - An occurrence, that is a schedule and the instant it is planned for, is stored once, however
//!   often it fires and in however many processes.
//! - Notification, event and outbox are written in one transaction: what is stored is pushed, at
//!   least once and in order per user; clients deduplicate by id or offset.
//! - `seq` numbers a user's notifications, and `offset` a user's events, by one and without gaps.
//! - Changes of one user's schedules are serialised, versioned, and every one applied. The
//!   scheduler's jobs follow the rows, also after a crash between the two.
//! - Quiet hours, digests and limits hold back deliveries to channels that interrupt, never the
//!   notification or its live push; a change of [`Preferences`] loses nothing that is held.
//! - What is not valid is refused with every field at fault. What belongs to another user is not
//!   found.
//!
//! # How it fits together
//!
//! [`Schedules`] keeps a [`ScheduleStore`] and the scheduler's [`Jobs`] in line by its [`JobSync`].
//! The scheduler runs [`ScheduleFired`], which asks [`Notifications`] to store the occurrence in a
//! [`NotificationStore`] and to raise the [`OutboxSignal`]; the [`OutboxRelay`] takes what is
//! pending from the [`OutboxStore`] to [`Push`].
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `mocks` | mockall doubles of the ports |
//! | `openapi` | `utoipa` schemas of what is read and written as JSON |
//! | `test-util` | the stores in memory, fakes of the other ports, and the conformance suites |
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "test-util")] {
//! use std::sync::Arc;
//! use steadfast_clock::SystemClock;
//! use steadfast_notifications::{
//!     IdSource, NewNotification, Notifications, OutboxRelay, OutboxSignal, UserId, V7Ids,
//!     test_util::{FakeUsers, MemoryStore, RecordingPush},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ids = Arc::new(V7Ids::new(Arc::new(SystemClock), [7; 32]));
//! let ann = UserId::new(ids.next_id());
//! let (store, push) = (Arc::new(MemoryStore::new()), Arc::new(RecordingPush::new()));
//! let signal = OutboxSignal::new();
//! let users = Arc::new(FakeUsers::new([ann]));
//! let notifications = Notifications::new(store.clone(), users, ids, signal.clone());
//! let relay = OutboxRelay::builder(store, push.clone(), signal).build()?;
//!
//! let new: NewNotification =
//!     serde_json::from_str(&format!(r#"{{"user_id":"{ann}","title":"Deployed"}}"#))?;
//! let first = notifications.publish(ann, new.clone(), Some("deploy-1")).await?;
//! let again = notifications.publish(ann, new, Some("deploy-1")).await?;
//! assert_eq!(first, again);
//!
//! relay.drain().await?;
//! assert_eq!(push.offsets(ann), [1]);
//! # Ok(()) }
//! # main().unwrap();
//! # }
//! ```

mod channel;
mod channel_error;
mod channel_kind;
mod channel_ports;
mod channels;
mod deliverer;
mod deliverer_builder;
mod delivery;
mod delivery_limits;
mod dispatch;
mod endpoints;
mod error;
mod ids;
mod job_sync;
mod notification;
mod notifications;
mod outbox_relay;
mod outbox_signal;
mod page;
mod ports;
mod preference_plan;
mod preferences;
mod preferences_input;
mod preview;
mod schedule;
mod schedule_fired;
mod schedule_input;
mod scheduler_jobs;
mod schedules;
mod schedules_builder;
mod store;
mod template;
mod time_of_day;
mod timetable;
mod user_event;
mod user_preferences;
mod validation;
mod wall;

#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

pub use channel::{
    Channel, ChannelPatch, ChannelTarget, MAX_CHANNELS, NewChannel, Secret, StoredChannel,
};
pub use channel_error::ChannelError;
pub use channel_kind::ChannelKind;
pub use channel_ports::{ChannelSender, ChannelStore, DeliveryStore, SecretSource, SendError};
#[cfg(any(test, feature = "mocks"))]
pub use channel_ports::{MockChannelSender, MockChannelStore, MockDeliveryStore, MockSecretSource};
pub use channels::Channels;
pub use deliverer::{Deliverer, MAX_ATTEMPTS, MAX_DIGEST};
pub use deliverer_builder::DelivererBuilder;
pub use delivery::{
    ChannelClaim, Delivery, DeliveryBacklog, DeliveryQuery, DeliveryState, DeliveryVerdict,
    DueDelivery, Message, MessageContent, RetryOutcome,
};
pub use delivery_limits::{
    Admission, DELIVERIES_PER_HOUR, DeliveryLimits, URGENT_DELIVERIES_PER_HOUR,
};
pub use dispatch::Dispatch;
pub use error::{
    BuildError, FieldError, Invalid, NotificationError, PortError, PreferencesError, ScheduleError,
};
pub use ids::{ChannelId, DeliveryId, NotificationId, ScheduleId, UserId, V7Ids};
pub use job_sync::{JobSync, Reconciled};
pub use notification::{NewNotification, Notification, Occurrence};
pub use notifications::{IDEMPOTENCY_WINDOW, ListNotifications, Notifications};
pub use outbox_relay::{OutboxRelay, OutboxRelayBuilder};
pub use outbox_signal::OutboxSignal;
pub use page::{Page, PageRequest};
pub use ports::{
    IdSource, Jobs, NotificationStore, OutboxStore, PreferenceStore, Push, ScheduleStore, Users,
};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{
    MockIdSource, MockJobs, MockNotificationStore, MockOutboxStore, MockPreferenceStore, MockPush,
    MockScheduleStore, MockUsers,
};
pub use preference_plan::Plan;
pub use preferences::{Digest, MAX_DIGEST_TIMES, Preferences, QuietHours, Weekday};
pub use preferences_input::{NewDigest, NewPreferences, NewQuietHours, PreferencesPatch};
pub use preview::{MAX_PREVIEW_FIRES, Preview, PreviewRequest, ScheduleView};
pub use schedule::{Dialect, Misfire, NewSchedule, Schedule, SchedulePatch};
pub use schedule_fired::ScheduleFired;
pub use scheduler_jobs::SchedulerJobs;
pub use schedules::Schedules;
pub use schedules_builder::SchedulesBuilder;
pub use store::{
    Draft, FireOutcome, IdempotencyClaim, InsertOutcome, MAX_EVENTS_PER_USER, NotificationQuery,
    Order, OutboxClaim, PublishOutcome, PutOutcome, RemoveOutcome, Settlement, StoredSchedule,
    SyncMark, UpdateOutcome,
};
pub use time_of_day::{NotATimeOfDay, TimeOfDay};
pub use user_event::{EventPage, EventPayload, UserEvent};
pub use user_preferences::UserPreferences;
pub use validation::{
    MAX_BODY, MAX_CHANNEL_NAME, MAX_IDEMPOTENCY_KEY, MAX_IDS, MAX_TARGET, MAX_TITLE, MAX_TOPIC,
};
