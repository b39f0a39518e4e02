//! A user's row in `user_log`: the counters, the place in the outbox, and the lock.
//!
//! Every transaction that changes what a user has takes the lock of this row before it looks at
//! anything else. Transactions of one user come one after the other, those of different users
//! never meet, and since none takes a second such lock none can be part of a deadlock.

use jiff::Timestamp;
use sqlx::{Postgres, postgres::PgRow};
use steadfast_notifications::{EventPayload, MAX_EVENTS_PER_USER, UserId};

use crate::adapters::{
    guarded_pool::Tx,
    rows::{Columns as _, column, to_json},
};

/// Locks a user's row, and takes the next offset and as many numbers as are given.
const ADVANCE: &str = "INSERT INTO user_log AS log (user_id, seq, position, available_at)
     VALUES ($1, $2, 1, $3)
     ON CONFLICT (user_id) DO UPDATE SET seq = log.seq + $2, position = log.position + 1,
         available_at = coalesce(log.available_at, excluded.available_at)
     RETURNING seq, position";

/// Stores an event, and drops what is too many.
pub(super) const APPEND: &str = "WITH pruned AS
     (DELETE FROM user_event WHERE user_id = $1 AND position <= $5)
     INSERT INTO user_event (user_id, position, payload, created_at) VALUES ($1, $2, $3, $4)";

/// The next places of a user: what is stored under them must be, before the commit.
pub(super) struct Places {
    pub(super) seq: u64,
    offset: u64,
}

/// Locks a user.
pub(super) async fn lock_user(tx: &mut Tx<Postgres>, user: UserId) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO user_log AS log (user_id, seq, position) VALUES ($1, 0, 0)
         ON CONFLICT (user_id) DO UPDATE SET seq = log.seq",
    )
    .bind(user.uuid())
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Locks a user, who gets a new event, pending from now on, and a number for a notification if one
/// comes with it.
pub(super) async fn advance(
    tx: &mut Tx<Postgres>,
    user: UserId,
    with_notification: bool,
    at: Timestamp,
) -> sqlx::Result<Places> {
    sqlx::query(ADVANCE)
        .bind(user.uuid())
        .bind(i64::from(with_notification))
        .bind(at.as_microsecond())
        .try_map(|row: PgRow| {
            Ok(Places {
                seq: row.number("seq")?,
                offset: row.number("position")?,
            })
        })
        .fetch_one(&mut **tx)
        .await
}

/// Stores the event for which there is a place, and drops the oldest one that is too many.
pub(super) async fn append_event(
    tx: &mut Tx<Postgres>,
    user: UserId,
    places: &Places,
    event: &EventPayload,
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(APPEND)
        .bind(user.uuid())
        .bind(column(places.offset))
        .bind(to_json(event)?)
        .bind(at.as_microsecond())
        .bind(column(places.offset.saturating_sub(MAX_EVENTS_PER_USER)))
        .execute(&mut **tx)
        .await
        .map(drop)
}
