use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Postgres, postgres::PgRow};
use steadfast_notifications::{
    Channel, ChannelId, ChannelStore, InsertOutcome, PortError, RemoveOutcome, StoredChannel,
    UpdateOutcome, UserId,
};

use super::{notification_store::port_error, user_log::lock_user};
use crate::adapters::{
    GuardedPool,
    guarded_pool::Tx,
    rows::{Columns as _, column, stored_channel},
};

/// A page of a user's channels.
const LIST: &str = "SELECT * FROM channel
     WHERE user_id = $1 AND id > coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid) ORDER BY id LIMIT $3";

/// Ends what is pending on a channel.
const CANCEL: &str = "UPDATE delivery SET state = 'cancelled', last_error = $2, finished_at = $3
     WHERE channel_id = $1 AND state = 'pending'";

/// Channels and deliveries in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresChannelStore {
    pub(super) pool: GuardedPool<Postgres>,
}

impl PostgresChannelStore {
    /// On a database that has
    /// [`NOTIFICATION_MIGRATIONS`](crate::adapters::NOTIFICATION_MIGRATIONS).
    #[must_use]
    pub fn new(pool: GuardedPool<Postgres>) -> Self {
        Self { pool }
    }

    async fn try_insert(&self, stored: &StoredChannel, limit: u32) -> sqlx::Result<InsertOutcome> {
        let channel = &stored.channel;
        let mut tx = self.pool.begin().await?;
        // So that two at once do not both find the last place free.
        lock_user(&mut tx, channel.user_id).await?;
        let owned: i64 = sqlx::query_scalar("SELECT count(*) FROM channel WHERE user_id = $1")
            .bind(channel.user_id.uuid())
            .fetch_one(&mut *tx)
            .await?;
        if owned >= i64::from(limit) {
            return Ok(InsertOutcome::LimitReached);
        }
        sqlx::query(
            "INSERT INTO channel (id, user_id, version, kind, name, target, secret, enabled,
                                  created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(channel.id.uuid())
        .bind(channel.user_id.uuid())
        .bind(column(channel.version))
        .bind(channel.target.kind().name())
        .bind(&channel.name)
        .bind(channel.target.text())
        .bind(stored.secret.as_ref().map(|secret| secret.expose()))
        .bind(channel.enabled)
        .bind(channel.created_at.as_microsecond())
        .bind(channel.updated_at.as_microsecond())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(InsertOutcome::Inserted)
    }

    async fn try_update(
        &self,
        stored: &StoredChannel,
        expected: u64,
    ) -> sqlx::Result<UpdateOutcome> {
        let channel = &stored.channel;
        let mut tx = self.pool.begin().await?;
        match version(&mut tx, channel.user_id, channel.id).await? {
            None => return Ok(UpdateOutcome::Missing),
            Some(actual) if actual != expected => return Ok(UpdateOutcome::Stale { actual }),
            Some(_) => {}
        }
        sqlx::query(
            "UPDATE channel SET version = $2, name = $3, target = $4, secret = $5, enabled = $6,
                    updated_at = $7 WHERE id = $1",
        )
        .bind(channel.id.uuid())
        .bind(column(channel.version))
        .bind(&channel.name)
        .bind(channel.target.text())
        .bind(stored.secret.as_ref().map(|secret| secret.expose()))
        .bind(channel.enabled)
        .bind(channel.updated_at.as_microsecond())
        .execute(&mut *tx)
        .await?;
        if !channel.enabled {
            sqlx::query(
                "UPDATE channel SET due_at = NULL, claims = claims + 1, claimed_until = NULL
                 WHERE id = $1",
            )
            .bind(channel.id.uuid())
            .execute(&mut *tx)
            .await?;
            let at = channel.updated_at;
            cancel(&mut tx, channel.id, "its channel was disabled", at).await?;
        }
        tx.commit().await?;
        Ok(UpdateOutcome::Updated)
    }

    async fn try_remove(
        &self,
        user: UserId,
        id: ChannelId,
        expected: Option<u64>,
        at: Timestamp,
    ) -> sqlx::Result<RemoveOutcome> {
        let mut tx = self.pool.begin().await?;
        let Some(actual) = version(&mut tx, user, id).await? else {
            return Ok(RemoveOutcome::Missing);
        };
        if expected.is_some_and(|expected| expected != actual) {
            return Ok(RemoveOutcome::Stale { actual });
        }
        sqlx::query("DELETE FROM channel WHERE id = $1")
            .bind(id.uuid())
            .execute(&mut *tx)
            .await?;
        cancel(&mut tx, id, "its channel was deleted", at).await?;
        tx.commit().await?;
        Ok(RemoveOutcome::Removed)
    }
}

#[async_trait]
impl ChannelStore for PostgresChannelStore {
    async fn insert(
        &self,
        channel: &StoredChannel,
        limit: u32,
    ) -> Result<InsertOutcome, PortError> {
        self.try_insert(channel, limit).await.map_err(port_error)
    }

    async fn get(&self, user: UserId, id: ChannelId) -> Result<Option<StoredChannel>, PortError> {
        sqlx::query("SELECT * FROM channel WHERE id = $1 AND user_id = $2")
            .bind(id.uuid())
            .bind(user.uuid())
            .try_map(|row: PgRow| stored_channel(&row))
            .fetch_optional(&self.pool)
            .await
            .map_err(port_error)
    }

    async fn list(
        &self,
        user: UserId,
        after: Option<ChannelId>,
        limit: u32,
    ) -> Result<Vec<Channel>, PortError> {
        sqlx::query(LIST)
            .bind(user.uuid())
            .bind(after.map(ChannelId::uuid))
            .bind(i64::from(limit))
            .try_map(|row: PgRow| stored_channel(&row).map(|stored| stored.channel))
            .fetch_all(&self.pool)
            .await
            .map_err(port_error)
    }

    async fn update(
        &self,
        channel: &StoredChannel,
        expected: u64,
    ) -> Result<UpdateOutcome, PortError> {
        self.try_update(channel, expected).await.map_err(port_error)
    }

    async fn remove(
        &self,
        user: UserId,
        id: ChannelId,
        expected: Option<u64>,
        at: Timestamp,
    ) -> Result<RemoveOutcome, PortError> {
        self.try_remove(user, id, expected, at)
            .await
            .map_err(port_error)
    }
}

/// The version of a channel, which is locked.
async fn version(tx: &mut Tx<Postgres>, user: UserId, id: ChannelId) -> sqlx::Result<Option<u64>> {
    sqlx::query("SELECT version FROM channel WHERE id = $1 AND user_id = $2 FOR UPDATE")
        .bind(id.uuid())
        .bind(user.uuid())
        .try_map(|row: PgRow| row.number("version"))
        .fetch_optional(&mut **tx)
        .await
}

async fn cancel(
    tx: &mut Tx<Postgres>,
    channel: ChannelId,
    why: &str,
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(CANCEL)
        .bind(channel.uuid())
        .bind(why)
        .bind(at.as_microsecond())
        .execute(&mut **tx)
        .await
        .map(drop)
}
