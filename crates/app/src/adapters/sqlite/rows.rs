//! What the stores share: how values stand in columns, and how errors are judged.

use jiff::Timestamp;
use sqlx::{ColumnIndex, Row as _, sqlite::SqliteRow};
use steadfast_db_init::{Class, classify_sqlite};

use super::guarded_pool::refusal;

/// Whether the same call may succeed later.
pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    classify_sqlite(error) == Class::Transient || refusal(error).is_some()
}

/// Reads a time.
pub(super) fn time(
    row: &SqliteRow,
    column: impl ColumnIndex<SqliteRow>,
) -> sqlx::Result<Timestamp> {
    timestamp(row.try_get(column)?)
}

/// Reads a time that may be absent.
pub(super) fn optional_time(
    row: &SqliteRow,
    column: impl ColumnIndex<SqliteRow>,
) -> sqlx::Result<Option<Timestamp>> {
    let microseconds: Option<i64> = row.try_get(column)?;
    microseconds.map(timestamp).transpose()
}

/// The time of some microseconds since the epoch.
pub(super) fn timestamp(microseconds: i64) -> sqlx::Result<Timestamp> {
    Timestamp::from_microsecond(microseconds).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Reads a number that is never negative.
pub(super) fn number(row: &SqliteRow, column: &str) -> sqlx::Result<u64> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|_| broken(column, "is negative"))
}

/// A number as a column holds it; what is beyond that is as good as the end.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The error of a column that holds what was never written.
pub(super) fn broken(column: &str, detail: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("stored {column} {detail}").into())
}
