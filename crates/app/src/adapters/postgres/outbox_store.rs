use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Postgres, postgres::PgRow};
use steadfast_notifications::{OutboxClaim, OutboxStore, PortError, Settlement, UserId};
use tracing::error;
use uuid::Uuid;

use super::{PostgresNotificationStore, notification_store::port_error};
use crate::adapters::{
    guarded_pool::Tx,
    rows::{Columns as _, broken, column, event},
};

/// Claims those who wait, the longest waiting first, and passes over whoever is being written for:
/// the end of that is told to the relay.
pub(super) const CLAIM: &str = "WITH due AS MATERIALIZED
     (SELECT user_id, available_at AS since FROM user_log WHERE available_at <= $1
     ORDER BY available_at LIMIT $3 FOR UPDATE SKIP LOCKED)
     UPDATE user_log SET available_at = $2, claims = claims + 1
     FROM due WHERE user_log.user_id = due.user_id
     RETURNING user_log.user_id, claims, failures, pushed, position, since,
         (SELECT epoch FROM event_epoch WHERE id = 1) AS epoch";

/// The next events of some users.
pub(super) const NEXT_EVENTS: &str = "SELECT claimed.user_id, event.position, event.payload
     FROM unnest($1::uuid[], $2::bigint[]) AS claimed (user_id, pushed), LATERAL
         (SELECT position, payload FROM user_event
         WHERE user_event.user_id = claimed.user_id AND position > claimed.pushed
         ORDER BY position LIMIT $3) AS event
     ORDER BY claimed.user_id, event.position";

/// Ends a claim whose pushes did not fail. Whether there is more is read from the counters of the
/// row itself: of another table it would be the state before the wait for the row's lock.
pub(super) const PUSHED: &str = "UPDATE user_log SET pushed = greatest(pushed, $3), failures = 0,
     available_at = CASE WHEN position > greatest(pushed, $3) THEN $4::bigint END
     WHERE user_id = $1 AND claims = $2";

/// Ends a claim of which a push failed.
const RETRY_AT: &str = "UPDATE user_log SET pushed = greatest(pushed, $3),
     failures = failures + 1, available_at = $4 WHERE user_id = $1 AND claims = $2";

/// Makes everything that waits pending.
pub(super) const RELEASE: &str =
    "UPDATE user_log SET available_at = $1, claims = claims + 1 WHERE available_at > $1";

/// A user that was claimed.
struct Claimed {
    claim: OutboxClaim,
    /// Since when it had waited.
    since: i64,
    pushed: u64,
    position: u64,
}

impl PostgresNotificationStore {
    async fn try_claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        users: u32,
        events: u32,
    ) -> sqlx::Result<Vec<OutboxClaim>> {
        let mut tx = self.pool.begin().await?;
        let mut claimed = sqlx::query(CLAIM)
            .bind(now.as_microsecond())
            .bind(until.as_microsecond())
            .bind(i64::from(users))
            .try_map(|row: PgRow| read_claim(&row))
            .fetch_all(&mut *tx)
            .await?;
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        claimed.sort_by_key(|claimed| claimed.since);
        add_events(&mut tx, &mut claimed, events).await?;
        tx.commit().await?;
        Ok(claimed.into_iter().map(|claimed| claimed.claim).collect())
    }
}

#[async_trait]
impl OutboxStore for PostgresNotificationStore {
    async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        users: u32,
        events: u32,
    ) -> Result<Vec<OutboxClaim>, PortError> {
        self.try_claim(now, until, users, events)
            .await
            .map_err(port_error)
    }

    async fn settle(&self, claim: &OutboxClaim, settlement: Settlement) -> Result<(), PortError> {
        let (sql, pushed, at) = match settlement {
            Settlement::Pushed { pushed, at } => (PUSHED, pushed, at),
            Settlement::RetryAt { pushed, at } => (RETRY_AT, pushed, at),
        };
        sqlx::query(sql)
            .bind(claim.user_id.uuid())
            .bind(column(claim.number))
            .bind(column(pushed.unwrap_or_default()))
            .bind(at.as_microsecond())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(port_error)
    }

    async fn release(&self, now: Timestamp) -> Result<u64, PortError> {
        sqlx::query(RELEASE)
            .bind(now.as_microsecond())
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected())
            .map_err(port_error)
    }
}

fn read_claim(row: &PgRow) -> sqlx::Result<Claimed> {
    let failures = u32::try_from(row.number("failures")?);
    let claim = OutboxClaim {
        user_id: UserId::new(row.id("user_id")?),
        number: row.number("claims")?,
        failures: failures.map_err(|_| broken("failures", "are too many"))?,
        epoch: row.text("epoch")?.to_owned(),
        events: Vec::new(),
    };
    Ok(Claimed {
        claim,
        since: row.integer("since")?,
        pushed: row.number("pushed")?,
        position: row.number("position")?,
    })
}

/// Adds their next events to claims, and removes those that cannot be read from the log.
async fn add_events(
    tx: &mut Tx<Postgres>,
    claimed: &mut [Claimed],
    events: u32,
) -> sqlx::Result<()> {
    let users: Vec<Uuid> = claimed.iter().map(|it| it.claim.user_id.uuid()).collect();
    let pushed: Vec<i64> = claimed.iter().map(|it| column(it.pushed)).collect();
    let rows = sqlx::query(NEXT_EVENTS)
        .bind(&users)
        .bind(&pushed)
        .bind(i64::from(events))
        .fetch_all(&mut **tx)
        .await?;
    let places: HashMap<_, _> = users.into_iter().zip(0..).collect();
    for row in &rows {
        let user = row.id("user_id")?;
        let (position, event) = event(row)?;
        let place = places
            .get(&user)
            .and_then(|place: &usize| claimed.get_mut(*place));
        match (event, place) {
            (Ok(event), Some(claimed)) => claimed.claim.events.push(event),
            (Err(error), _) => {
                error!(%user, position, %error, "an event cannot be read and is dropped");
                drop_event(tx, user, position).await?;
            }
            (Ok(_), None) => {}
        }
    }
    for gone in claimed
        .iter()
        .filter(|it| it.claim.events.is_empty() && it.pushed < it.position)
    {
        skip_to_the_end(tx, gone.claim.user_id).await?;
    }
    Ok(())
}

async fn drop_event(tx: &mut Tx<Postgres>, user: Uuid, position: u64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM user_event WHERE user_id = $1 AND position = $2")
        .bind(user)
        .bind(column(position))
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Nothing is left of what was to be pushed: it was too old, or cannot be read.
async fn skip_to_the_end(tx: &mut Tx<Postgres>, user: UserId) -> sqlx::Result<()> {
    sqlx::query("UPDATE user_log SET pushed = position WHERE user_id = $1")
        .bind(user.uuid())
        .execute(&mut **tx)
        .await
        .map(drop)
}
