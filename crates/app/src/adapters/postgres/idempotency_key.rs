//! What was published under an idempotency key, so that it is published once.

use jiff::Timestamp;
use sqlx::Postgres;
use steadfast_notifications::{IdempotencyClaim, Notification, PublishOutcome};

use crate::adapters::{
    guarded_pool::Tx,
    rows::{from_json, to_json},
};

/// Locks a key, and takes it for new contents unless it has some that have not expired: those it
/// answers.
const TAKE_KEY: &str = "INSERT INTO idempotency_key AS key
         (caller, name, body_hash, answer, created_at, expires_at)
     VALUES ($1, $2, $3, '', $4, $5)
     ON CONFLICT (caller, name) DO UPDATE SET
         (body_hash, answer, created_at, expires_at) = (SELECT
             CASE WHEN holds THEN key.body_hash ELSE $3 END,
             CASE WHEN holds THEN key.answer ELSE '' END,
             CASE WHEN holds THEN key.created_at ELSE $4 END,
             CASE WHEN holds THEN key.expires_at ELSE $5 END
             FROM (SELECT key.expires_at > $4 AND key.created_at >= $6 AS holds) AS it)
     RETURNING body_hash, answer";

/// Locks a key, and answers what was published under it if that has not expired.
pub(super) async fn replay(
    tx: &mut Tx<Postgres>,
    claim: &IdempotencyClaim,
    now: Timestamp,
    keys_from: i64,
) -> sqlx::Result<Option<PublishOutcome>> {
    let (body_hash, answer): (Vec<u8>, String) = sqlx::query_as(TAKE_KEY)
        .bind(claim.caller.uuid())
        .bind(&claim.key)
        .bind(claim.body_hash.as_slice())
        .bind(now.as_microsecond())
        .bind(claim.expires_at.as_microsecond())
        .bind(keys_from)
        .fetch_one(&mut **tx)
        .await?;
    if answer.is_empty() {
        return Ok(None);
    }
    if body_hash != claim.body_hash {
        return Ok(Some(PublishOutcome::KeyReused));
    }
    from_json(&answer).map(|answer| Some(PublishOutcome::Replayed(answer)))
}

/// Stores what was published under the key that the transaction has taken.
pub(super) async fn remember(
    tx: &mut Tx<Postgres>,
    claim: &IdempotencyClaim,
    answer: &Notification,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE idempotency_key SET answer = $3 WHERE caller = $1 AND name = $2")
        .bind(claim.caller.uuid())
        .bind(&claim.key)
        .bind(to_json(answer)?)
        .execute(&mut **tx)
        .await
        .map(drop)
}
