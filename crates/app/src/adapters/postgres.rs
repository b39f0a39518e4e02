//! The stores, in Postgres.
//!
//! All take the one pool of the server behind a circuit breaker. No transaction locks a table:
//! what changes a user's rows locks the user first, and cleanup never waits for a lock. Ids are
//! `uuid`s; a page begins after the nil UUID and ends before the largest one, which are no ids.

mod account_store;
mod audit_store;
mod channel_store;
mod delivery_store;
mod erasure_store;
mod idempotency_key;
mod notification_store;
mod outbox_store;
mod personal_store;
mod preference_store;
mod privacy_store;
mod schedule_store;
mod user_log;

pub use account_store::PostgresAccountStore;
pub use audit_store::PostgresAuditStore;
pub use channel_store::PostgresChannelStore;
pub use erasure_store::PostgresErasureStore;
pub use notification_store::PostgresNotificationStore;
pub use personal_store::PostgresPersonalStore;
pub use preference_store::PostgresPreferenceStore;
pub use privacy_store::PostgresPrivacyStore;
pub use schedule_store::PostgresScheduleStore;
