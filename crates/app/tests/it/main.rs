//! The real binary over real HTTP and WebSocket.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the binary runs by the machine's clock, and a test's tasks end with it"
)]

mod accounts;
mod alerts;
mod api_errors;
mod burst;
mod client;
mod drain;
mod erasure;
mod live;
mod notifications;
mod personal;
mod plant;
mod policies;
mod postgres;
mod postgres_stores;
mod preference_stores;
mod preferences;
mod privacy_lock;
mod process;
mod readme;
mod retention_stores;
mod schedules;
mod start_failures;
mod start_up;
mod store_checks;
mod stores;
mod survival;
mod systemd;
mod trouble;
mod webhooks;
