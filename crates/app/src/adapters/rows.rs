//! What the stores of all databases share: how values stand in columns, what rows stand for, and
//! how errors are judged.
//!
//! Times are microseconds since the epoch.

mod account;
mod channel;
mod erasure;
mod notification;
mod privacy;

use jiff::Timestamp;
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};
use steadfast_db_init::Class;
use uuid::Uuid;

use super::guarded_pool::{Judged, refusal};

pub(super) use account::{scope_names, token, user};
pub(super) use channel::{delivery, due_delivery, stored_channel};
pub(super) use erasure::{erased_rows, read_erasure, receipt};
pub(super) use notification::{
    channel_names, event, notification, preferences, schedule, stored_schedule,
};
pub(super) use privacy::{audit_entry, change_entry, outcome, policy, report_json, run};

/// A row, and how to read what columns hold.
pub(super) trait Columns {
    fn id(&self, column: &str) -> sqlx::Result<Uuid>;
    fn optional_id(&self, column: &str) -> sqlx::Result<Option<Uuid>>;
    fn integer(&self, column: &str) -> sqlx::Result<i64>;
    fn optional_integer(&self, column: &str) -> sqlx::Result<Option<i64>>;
    fn flag(&self, column: &str) -> sqlx::Result<bool>;
    fn text(&self, column: &str) -> sqlx::Result<&str>;
    fn optional_text(&self, column: &str) -> sqlx::Result<Option<&str>>;
    fn bytes(&self, column: &str) -> sqlx::Result<&[u8]>;

    /// Reads a number that is never negative.
    fn number(&self, column: &str) -> sqlx::Result<u64> {
        u64::try_from(self.integer(column)?).map_err(|_| broken(column, "is negative"))
    }

    /// Reads a time.
    fn time(&self, column: &str) -> sqlx::Result<Timestamp> {
        timestamp(self.integer(column)?)
    }

    /// Reads a time that may be absent.
    fn optional_time(&self, column: &str) -> sqlx::Result<Option<Timestamp>> {
        self.optional_integer(column)?.map(timestamp).transpose()
    }

    /// Reads a text as what it names.
    fn named<T>(&self, column: &str, parse: impl FnOnce(&str) -> Option<T>) -> sqlx::Result<T> {
        parse(self.text(column)?).ok_or_else(|| broken(column, "is unknown"))
    }
}

macro_rules! columns {
    ($($row:ty)*) => {$(
        impl Columns for $row {
            fn id(&self, column: &str) -> sqlx::Result<Uuid> {
                self.try_get(column)
            }

            fn optional_id(&self, column: &str) -> sqlx::Result<Option<Uuid>> {
                self.try_get(column)
            }

            fn integer(&self, column: &str) -> sqlx::Result<i64> {
                self.try_get(column)
            }

            fn optional_integer(&self, column: &str) -> sqlx::Result<Option<i64>> {
                self.try_get(column)
            }

            fn flag(&self, column: &str) -> sqlx::Result<bool> {
                self.try_get(column)
            }

            fn text(&self, column: &str) -> sqlx::Result<&str> {
                self.try_get(column)
            }

            fn optional_text(&self, column: &str) -> sqlx::Result<Option<&str>> {
                self.try_get(column)
            }

            fn bytes(&self, column: &str) -> sqlx::Result<&[u8]> {
                self.try_get(column)
            }
        }
    )*};
}

columns!(SqliteRow PgRow);

/// Whether the same call may succeed later.
pub(super) fn is_transient<DB: Judged>(error: &sqlx::Error) -> bool {
    matches!(DB::class(error), Class::Transient | Class::Ambiguous) || refusal(error).is_some()
}

/// The time of some microseconds since the epoch.
pub(super) fn timestamp(microseconds: i64) -> sqlx::Result<Timestamp> {
    Timestamp::from_microsecond(microseconds).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// A number as a column holds it; what is beyond that is as good as the end.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A value as a column holds it.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// The value that a column holds.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> sqlx::Result<T> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// The error of a column that holds what was never written.
pub(super) fn broken(column: &str, detail: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("stored {column} {detail}").into())
}
