//! The stores, in SQLite.
//!
//! Each takes two pools of one database behind a circuit breaker each: one to read, of any size, and
//! one to write. What reads before it writes does so in a transaction that has the right to write
//! from its beginning. Ids are the sixteen bytes of a UUID.

mod account_store;
mod audit_store;
mod channel_store;
mod delivery_store;
mod erasure_store;
mod event_log;
mod group_commit;
mod idempotency_key;
mod notification_store;
mod outbox_store;
mod personal_store;
#[cfg(test)]
mod plans;
mod preference_store;
mod privacy_store;
mod schedule_store;

pub use account_store::SqliteAccountStore;
pub use audit_store::SqliteAuditStore;
pub use channel_store::SqliteChannelStore;
pub use erasure_store::SqliteErasureStore;
pub use notification_store::SqliteNotificationStore;
pub use personal_store::SqlitePersonalStore;
pub use preference_store::SqlitePreferenceStore;
pub use privacy_store::SqlitePrivacyStore;
pub use schedule_store::SqliteScheduleStore;
