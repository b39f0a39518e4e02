//! The users' event logs: what goes to their channels.

use jiff::Timestamp;
use sqlx::{Sqlite, sqlite::SqliteRow};
use steadfast_notifications::{EventPayload, MAX_EVENTS_PER_USER, UserEvent, UserId};
use tracing::error;

use crate::adapters::{
    guarded_pool::Tx,
    rows::{Columns as _, column, event, to_json},
};

/// A part of a user's log.
pub(super) const EVENTS: &str = "SELECT position, payload FROM user_event
     WHERE user_id = ?1 AND position > ?2 AND created_at >= ?4 ORDER BY position LIMIT ?3";

/// Drops what is too many.
pub(super) const PRUNE: &str = "DELETE FROM user_event WHERE user_id = ?1 AND position <= ?2";

/// Reads events of a user from a time on in order, without those that cannot be read.
pub(super) async fn read_events(
    tx: &mut Tx<Sqlite>,
    user: UserId,
    after: u64,
    from: i64,
    limit: u32,
) -> sqlx::Result<Vec<UserEvent>> {
    let stored = stored_events(tx, user, after, from, limit).await?;
    Ok(stored
        .into_iter()
        .filter_map(|(_, event)| event.ok())
        .collect())
}

/// Reads events of a user in order, and removes those that cannot be read from the log.
pub(super) async fn claim_events(
    tx: &mut Tx<Sqlite>,
    user: UserId,
    after: u64,
    limit: u32,
) -> sqlx::Result<Vec<UserEvent>> {
    let stored = stored_events(tx, user, after, i64::MIN, limit).await?;
    let mut events = Vec::with_capacity(stored.len());
    for (position, event) in stored {
        match event {
            Ok(event) => events.push(event),
            Err(error) => {
                error!(%user, position, %error, "an event cannot be read and is dropped");
                sqlx::query("DELETE FROM user_event WHERE user_id = ?1 AND position = ?2")
                    .bind(user.uuid())
                    .bind(column(position))
                    .execute(&mut **tx)
                    .await?;
            }
        }
    }
    Ok(events)
}

async fn stored_events(
    tx: &mut Tx<Sqlite>,
    user: UserId,
    after: u64,
    from: i64,
    limit: u32,
) -> sqlx::Result<Vec<(u64, sqlx::Result<UserEvent>)>> {
    sqlx::query(EVENTS)
        .bind(user.uuid())
        .bind(column(after))
        .bind(limit)
        .bind(from)
        .try_map(|row: SqliteRow| event(&row))
        .fetch_all(&mut **tx)
        .await
}

/// Adds an event to the end of a user's log, makes it pending, and drops the oldest one that is
/// too many.
pub(super) async fn append_event(
    tx: &mut Tx<Sqlite>,
    user: UserId,
    event: &EventPayload,
    at: Timestamp,
) -> sqlx::Result<()> {
    let position = sqlx::query(
        "UPDATE user_log
         SET position = position + 1, available_at = coalesce(available_at, ?2)
         WHERE user_id = ?1 RETURNING position",
    )
    .bind(user.uuid())
    .bind(at.as_microsecond())
    .try_map(|row: SqliteRow| row.number("position"))
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO user_event (user_id, position, payload, created_at) VALUES (?1, ?2, ?3, ?4)",
    )
    .bind(user.uuid())
    .bind(column(position))
    .bind(to_json(event)?)
    .bind(at.as_microsecond())
    .execute(&mut **tx)
    .await?;
    sqlx::query(PRUNE)
        .bind(user.uuid())
        .bind(column(position.saturating_sub(MAX_EVENTS_PER_USER)))
        .execute(&mut **tx)
        .await
        .map(drop)
}
