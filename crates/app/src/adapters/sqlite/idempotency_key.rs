//! What was published under an idempotency key, so that it is published once.

use jiff::Timestamp;
use sqlx::Sqlite;
use steadfast_notifications::{IdempotencyClaim, Notification, PublishOutcome};

use crate::adapters::{
    guarded_pool::Tx,
    rows::{from_json, to_json},
};

/// What was published under a key that has not expired.
pub(super) async fn replay(
    tx: &mut Tx<Sqlite>,
    claim: &IdempotencyClaim,
    now: Timestamp,
    keys_from: i64,
) -> sqlx::Result<Option<PublishOutcome>> {
    let found: Option<(Vec<u8>, String)> = sqlx::query_as(
        "SELECT body_hash, answer FROM idempotency_key
         WHERE caller = ?1 AND name = ?2 AND expires_at > ?3 AND created_at >= ?4",
    )
    .bind(claim.caller.uuid())
    .bind(&claim.key)
    .bind(now.as_microsecond())
    .bind(keys_from)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((body_hash, answer)) = found else {
        return Ok(None);
    };
    if body_hash != claim.body_hash {
        return Ok(Some(PublishOutcome::KeyReused));
    }
    from_json(&answer).map(|answer| Some(PublishOutcome::Replayed(answer)))
}

pub(super) async fn remember(
    tx: &mut Tx<Sqlite>,
    claim: &IdempotencyClaim,
    answer: &Notification,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO idempotency_key
         (caller, name, body_hash, answer, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(claim.caller.uuid())
    .bind(&claim.key)
    .bind(claim.body_hash.as_slice())
    .bind(to_json(answer)?)
    .bind(answer.created_at.as_microsecond())
    .bind(claim.expires_at.as_microsecond())
    .execute(&mut **tx)
    .await
    .map(drop)
}
