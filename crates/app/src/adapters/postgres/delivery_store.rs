use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Postgres, postgres::PgRow};
use steadfast_notifications::{
    ChannelClaim, ChannelKind, Delivery, DeliveryBacklog, DeliveryId, DeliveryQuery, DeliveryState,
    DeliveryStore, DeliveryVerdict, Draft, PortError, RetryOutcome, UserId,
};
use uuid::Uuid;

use super::{PostgresChannelStore, notification_store::port_error};
use crate::adapters::{
    guarded_pool::Tx,
    rows::{Columns as _, column, delivery, due_delivery, notification, stored_channel},
};

/// Makes the deliveries of a notification, whose ids are UUIDv7s of its time, and tells their
/// channels that something is due.
const DISPATCH: &str = "WITH woken AS
     (UPDATE channel SET due_at = least(due_at, $5)
     WHERE user_id = $2 AND enabled AND kind IN ($7, $8) RETURNING id)
     INSERT INTO delivery
         (id, user_id, channel_id, notification_id, state, digest, urgent, available_at,
          pending_since, created_at)
     SELECT encode(substring(uuid_send($1) FROM 1 FOR 9)
             || substring(uuid_send(gen_random_uuid()) FROM 10 FOR 7), 'hex')::uuid,
         $2, id, $1, 'pending', $3, $4, $5, $5, $6
     FROM woken";

/// A page of a user's deliveries.
const LIST: &str = "SELECT * FROM delivery WHERE user_id = $1 AND id < $2
     ORDER BY id DESC LIMIT $3";

/// A page of a user's deliveries in one state.
const LIST_IN_STATE: &str = "SELECT * FROM delivery
     WHERE user_id = $1 AND state = $4 AND id < $2 ORDER BY id DESC LIMIT $3";

/// Which channels have something due and are held by nobody, the longest waiting first.
pub(super) const FREE: &str = "SELECT id FROM channel
     WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1)
     ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED";

/// What is due on a channel.
pub(super) const DUE: &str = "SELECT * FROM delivery
     WHERE channel_id = $1 AND state = 'pending' AND available_at <= $2
     ORDER BY available_at, id LIMIT $3";

/// Stores a verdict.
const SETTLE: &str = "UPDATE delivery SET state = $2, attempts = $3, available_at = $4,
     last_error = $5, finished_at = $6 WHERE id = $1 AND state = 'pending'";

/// Gives a channel back until the next of its deliveries is due.
const GIVE_BACK: &str = "UPDATE channel SET claimed_until = NULL, due_at =
     (SELECT min(available_at) FROM delivery WHERE channel_id = $1 AND state = 'pending')
     WHERE id = $1";

impl PostgresChannelStore {
    async fn try_claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        channels: u32,
        deliveries: u32,
    ) -> sqlx::Result<Vec<ChannelClaim>> {
        let mut tx = self.pool.begin().await?;
        let free: Vec<Uuid> = sqlx::query_scalar(FREE)
            .bind(now.as_microsecond())
            .bind(i64::from(channels))
            .fetch_all(&mut *tx)
            .await?;
        let mut claims = Vec::with_capacity(free.len());
        for channel in free {
            claims.push(claim_one(&mut tx, channel, now, until, deliveries).await?);
        }
        tx.commit().await?;
        Ok(claims)
    }

    async fn try_settle(
        &self,
        claim: &ChannelClaim,
        verdicts: &[DeliveryVerdict],
        at: Timestamp,
    ) -> sqlx::Result<bool> {
        let mut tx = self.pool.begin().await?;
        if !holds(&mut tx, claim).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        for verdict in verdicts {
            let is_over = verdict.state != DeliveryState::Pending;
            sqlx::query(SETTLE)
                .bind(verdict.id.uuid())
                .bind(verdict.state.name())
                .bind(i64::from(verdict.attempts))
                .bind(verdict.available_at.as_microsecond())
                .bind(&verdict.error)
                .bind(is_over.then_some(at.as_microsecond()))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn try_give_back(&self, claim: &ChannelClaim) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        if holds(&mut tx, claim).await? {
            sqlx::query(GIVE_BACK)
                .bind(claim.channel.channel.id.uuid())
                .execute(&mut *tx)
                .await?;
            tx.commit().await
        } else {
            tx.rollback().await
        }
    }

    async fn try_list(&self, user: UserId, query: DeliveryQuery) -> sqlx::Result<Vec<Delivery>> {
        let before = query.before.map_or(Uuid::max(), DeliveryId::uuid);
        let (sql, state) = match query.state {
            None => (LIST, ""),
            Some(state) => (LIST_IN_STATE, state.name()),
        };
        let query_of_list = sqlx::query(sql)
            .bind(user.uuid())
            .bind(before)
            .bind(i64::from(query.limit));
        let bound = match query.state {
            None => query_of_list,
            Some(_) => query_of_list.bind(state),
        };
        bound
            .try_map(|row: PgRow| delivery(&row))
            .fetch_all(&self.pool)
            .await
    }

    async fn try_retry(
        &self,
        owner: Option<UserId>,
        id: DeliveryId,
        at: Timestamp,
    ) -> sqlx::Result<RetryOutcome> {
        let mut tx = self.pool.begin().await?;
        let Some(found) = find(&mut tx, owner, id).await? else {
            return Ok(RetryOutcome::Missing);
        };
        // Who changes a delivery holds its channel first.
        let enabled: Option<bool> =
            sqlx::query_scalar("SELECT enabled FROM channel WHERE id = $1 FOR UPDATE")
                .bind(found.channel_id.uuid())
                .fetch_optional(&mut *tx)
                .await?;
        let found = find(&mut tx, owner, id).await?;
        let refused = match found.as_ref().map(|found| found.state) {
            None => Some(RetryOutcome::Missing),
            Some(DeliveryState::Pending) => found.clone().map(RetryOutcome::Pending),
            Some(DeliveryState::Dead) => (enabled != Some(true)).then_some(RetryOutcome::NoChannel),
            Some(other) => Some(RetryOutcome::NotDead(other)),
        };
        if let Some(refused) = refused {
            // A claim passes over a channel that is locked.
            tx.rollback().await?;
            return Ok(refused);
        }
        let retried = sqlx::query(
            "UPDATE delivery SET state = 'pending', attempts = 0, available_at = $2,
                    pending_since = $2, finished_at = NULL WHERE id = $1 RETURNING *",
        )
        .bind(id.uuid())
        .bind(at.as_microsecond())
        .try_map(|row: PgRow| delivery(&row))
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query("UPDATE channel SET due_at = least(due_at, $2) WHERE id = $1")
            .bind(retried.channel_id.uuid())
            .bind(at.as_microsecond())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(RetryOutcome::Pending(retried))
    }

    async fn try_backlog(&self) -> sqlx::Result<DeliveryBacklog> {
        sqlx::query(
            "SELECT (SELECT count(*) FROM delivery WHERE state = 'pending') AS pending,
                    (SELECT count(*) FROM delivery WHERE state = 'dead') AS dead,
                    (SELECT min(available_at) FROM delivery WHERE state = 'pending') AS oldest",
        )
        .try_map(|row: PgRow| {
            Ok(DeliveryBacklog {
                pending: row.number("pending")?,
                dead: row.number("dead")?,
                oldest_due: row.optional_time("oldest")?,
            })
        })
        .fetch_one(&self.pool)
        .await
    }
}

#[async_trait]
impl DeliveryStore for PostgresChannelStore {
    async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        channels: u32,
        deliveries: u32,
    ) -> Result<Vec<ChannelClaim>, PortError> {
        self.try_claim(now, until, channels, deliveries)
            .await
            .map_err(port_error)
    }

    async fn settle(
        &self,
        claim: &ChannelClaim,
        verdicts: &[DeliveryVerdict],
        at: Timestamp,
    ) -> Result<bool, PortError> {
        self.try_settle(claim, verdicts, at)
            .await
            .map_err(port_error)
    }

    async fn give_back(&self, claim: &ChannelClaim) -> Result<(), PortError> {
        self.try_give_back(claim).await.map_err(port_error)
    }

    async fn release(&self) -> Result<u64, PortError> {
        sqlx::query(
            "UPDATE channel SET claims = claims + 1, claimed_until = NULL
             WHERE claimed_until IS NOT NULL",
        )
        .execute(&self.pool)
        .await
        .map(|done| done.rows_affected())
        .map_err(port_error)
    }

    async fn list(&self, user: UserId, query: DeliveryQuery) -> Result<Vec<Delivery>, PortError> {
        self.try_list(user, query).await.map_err(port_error)
    }

    async fn retry(
        &self,
        owner: Option<UserId>,
        id: DeliveryId,
        at: Timestamp,
    ) -> Result<RetryOutcome, PortError> {
        self.try_retry(owner, id, at).await.map_err(port_error)
    }

    async fn backlog(&self) -> Result<DeliveryBacklog, PortError> {
        self.try_backlog().await.map_err(port_error)
    }
}

/// Makes the deliveries of a notification, in its transaction.
pub(super) async fn dispatch(tx: &mut Tx<Postgres>, draft: &Draft) -> sqlx::Result<()> {
    let kind = |kind: ChannelKind| {
        let is_wanted = draft.dispatch.kinds.contains(&kind);
        is_wanted.then(|| kind.name())
    };
    let (webhook, email) = (kind(ChannelKind::Webhook), kind(ChannelKind::Email));
    if webhook.or(email).is_none() {
        return Ok(());
    }
    sqlx::query(DISPATCH)
        .bind(draft.id.uuid())
        .bind(draft.user_id.uuid())
        .bind(draft.dispatch.digest)
        .bind(draft.urgent)
        .bind(draft.dispatch.at.as_microsecond())
        .bind(draft.created_at.as_microsecond())
        .bind(webhook)
        .bind(email)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a claim is not void; from here on it stays so until the transaction ends.
async fn holds(tx: &mut Tx<Postgres>, claim: &ChannelClaim) -> sqlx::Result<bool> {
    let held: Option<i64> = sqlx::query_scalar(
        "SELECT claims FROM channel WHERE id = $1 AND claimed_until IS NOT NULL FOR UPDATE",
    )
    .bind(claim.channel.channel.id.uuid())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(held == Some(column(claim.number)))
}

async fn find(
    tx: &mut Tx<Postgres>,
    owner: Option<UserId>,
    id: DeliveryId,
) -> sqlx::Result<Option<Delivery>> {
    let found = sqlx::query("SELECT * FROM delivery WHERE id = $1")
        .bind(id.uuid())
        .try_map(|row: PgRow| delivery(&row))
        .fetch_optional(&mut **tx)
        .await?;
    Ok(found.filter(|found| owner.is_none_or(|owner| owner == found.user_id)))
}

/// Claims one channel whose row the transaction may change, with what is due on it.
async fn claim_one(
    tx: &mut Tx<Postgres>,
    channel: Uuid,
    now: Timestamp,
    until: Timestamp,
    deliveries: u32,
) -> sqlx::Result<ChannelClaim> {
    let (stored, number) = sqlx::query(
        "UPDATE channel SET claims = claims + 1, claimed_until = $2 WHERE id = $1 RETURNING *",
    )
    .bind(channel)
    .bind(until.as_microsecond())
    .try_map(|row: PgRow| Ok((stored_channel(&row)?, row.number("claims")?)))
    .fetch_one(&mut **tx)
    .await?;
    let mut due = sqlx::query(DUE)
        .bind(channel)
        .bind(now.as_microsecond())
        .bind(i64::from(deliveries))
        .try_map(|row: PgRow| due_delivery(&row))
        .fetch_all(&mut **tx)
        .await?;
    for due in &mut due {
        due.notification = sqlx::query("SELECT * FROM notification WHERE id = $1")
            .bind(due.delivery.notification_id.uuid())
            .try_map(|row: PgRow| notification(&row))
            .fetch_optional(&mut **tx)
            .await?;
    }
    Ok(ChannelClaim {
        channel: stored,
        number,
        deliveries: due,
    })
}
