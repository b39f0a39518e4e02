//! The tables of the stores in this crate, in the dialects of both databases.

mod accounts;
mod notifications;
mod privacy;

pub use accounts::ACCOUNT_MIGRATIONS;
pub use notifications::NOTIFICATION_MIGRATIONS;
pub use privacy::PRIVACY_MIGRATIONS;
