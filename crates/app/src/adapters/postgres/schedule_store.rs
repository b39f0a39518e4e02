use async_trait::async_trait;
use sqlx::{Postgres, postgres::PgRow};
use steadfast_notifications::{
    InsertOutcome, PortError, RemoveOutcome, Schedule, ScheduleId, ScheduleStore, StoredSchedule,
    SyncMark, UpdateOutcome, UserId,
};
use uuid::Uuid;

use super::{notification_store::port_error, user_log::lock_user};
use crate::adapters::{
    GuardedPool,
    guarded_pool::Tx,
    rows::{Columns as _, channel_names, column, schedule, stored_schedule},
};

/// A page of a user's schedules.
pub(super) const LIST: &str = "SELECT * FROM schedule
     WHERE user_id = $1 AND id > $2 AND NOT removed ORDER BY id LIMIT $3";

/// A batch of what is out of sync.
pub(super) const OUT_OF_SYNC: &str = "SELECT id FROM schedule
     WHERE synced_version <> version AND id > $1 ORDER BY id LIMIT $2";

/// Schedules in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresScheduleStore {
    pool: GuardedPool<Postgres>,
}

impl PostgresScheduleStore {
    /// On a database that has
    /// [`NOTIFICATION_MIGRATIONS`](crate::adapters::NOTIFICATION_MIGRATIONS).
    #[must_use]
    pub fn new(pool: GuardedPool<Postgres>) -> Self {
        Self { pool }
    }

    async fn try_insert(&self, schedule: &Schedule, limit: u32) -> sqlx::Result<InsertOutcome> {
        let mut tx = self.pool.begin().await?;
        lock_user(&mut tx, schedule.user_id).await?;
        // Counts no further than the limit.
        let owned: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM
             (SELECT 1 FROM schedule WHERE user_id = $1 AND NOT removed LIMIT $2) AS owned",
        )
        .bind(schedule.user_id.uuid())
        .bind(i64::from(limit))
        .fetch_one(&mut *tx)
        .await?;
        if owned >= i64::from(limit) {
            return Ok(InsertOutcome::LimitReached);
        }
        sqlx::query(
            "INSERT INTO schedule (id, user_id, version, cron, dialect, tz, title, body, channels,
                                   misfire, enabled, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(schedule.id.uuid())
        .bind(schedule.user_id.uuid())
        .bind(column(schedule.version))
        .bind(&schedule.cron)
        .bind(schedule.dialect.name())
        .bind(&schedule.tz)
        .bind(&schedule.title)
        .bind(&schedule.body)
        .bind(channel_names(&schedule.channels))
        .bind(schedule.misfire.name())
        .bind(schedule.enabled)
        .bind(schedule.created_at.as_microsecond())
        .bind(schedule.updated_at.as_microsecond())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(InsertOutcome::Inserted)
    }

    async fn try_update(&self, schedule: &Schedule, expected: u64) -> sqlx::Result<UpdateOutcome> {
        let mut tx = self.pool.begin().await?;
        lock_user(&mut tx, schedule.user_id).await?;
        match version(&mut tx, schedule.user_id, schedule.id).await? {
            None => return Ok(UpdateOutcome::Missing),
            Some(actual) if actual != expected => return Ok(UpdateOutcome::Stale { actual }),
            Some(_) => {}
        }
        sqlx::query(
            "UPDATE schedule SET version = $2, cron = $3, dialect = $4, tz = $5, title = $6,
                    body = $7, channels = $8, misfire = $9, enabled = $10, updated_at = $11
             WHERE id = $1",
        )
        .bind(schedule.id.uuid())
        .bind(column(schedule.version))
        .bind(&schedule.cron)
        .bind(schedule.dialect.name())
        .bind(&schedule.tz)
        .bind(&schedule.title)
        .bind(&schedule.body)
        .bind(channel_names(&schedule.channels))
        .bind(schedule.misfire.name())
        .bind(schedule.enabled)
        .bind(schedule.updated_at.as_microsecond())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(UpdateOutcome::Updated)
    }

    async fn try_remove(
        &self,
        user: UserId,
        id: ScheduleId,
        expected: Option<u64>,
    ) -> sqlx::Result<RemoveOutcome> {
        let mut tx = self.pool.begin().await?;
        lock_user(&mut tx, user).await?;
        let Some(actual) = version(&mut tx, user, id).await? else {
            return Ok(RemoveOutcome::Missing);
        };
        if expected.is_some_and(|expected| expected != actual) {
            return Ok(RemoveOutcome::Stale { actual });
        }
        sqlx::query("UPDATE schedule SET removed = TRUE, version = version + 1 WHERE id = $1")
            .bind(id.uuid())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(RemoveOutcome::Removed)
    }
}

#[async_trait]
impl ScheduleStore for PostgresScheduleStore {
    async fn insert(&self, schedule: &Schedule, limit: u32) -> Result<InsertOutcome, PortError> {
        self.try_insert(schedule, limit).await.map_err(port_error)
    }

    async fn get(&self, user: UserId, id: ScheduleId) -> Result<Option<Schedule>, PortError> {
        sqlx::query("SELECT * FROM schedule WHERE id = $1 AND user_id = $2 AND NOT removed")
            .bind(id.uuid())
            .bind(user.uuid())
            .try_map(|row: PgRow| schedule(&row))
            .fetch_optional(&self.pool)
            .await
            .map_err(port_error)
    }

    async fn load(&self, id: ScheduleId) -> Result<Option<StoredSchedule>, PortError> {
        sqlx::query("SELECT * FROM schedule WHERE id = $1")
            .bind(id.uuid())
            .try_map(|row: PgRow| stored_schedule(&row))
            .fetch_optional(&self.pool)
            .await
            .map_err(port_error)
    }

    async fn list(
        &self,
        user: UserId,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<Schedule>, PortError> {
        sqlx::query(LIST)
            .bind(user.uuid())
            .bind(after.map_or(Uuid::nil(), ScheduleId::uuid))
            .bind(i64::from(limit))
            .try_map(|row: PgRow| schedule(&row))
            .fetch_all(&self.pool)
            .await
            .map_err(port_error)
    }

    async fn update(&self, schedule: &Schedule, expected: u64) -> Result<UpdateOutcome, PortError> {
        self.try_update(schedule, expected)
            .await
            .map_err(port_error)
    }

    async fn remove(
        &self,
        user: UserId,
        id: ScheduleId,
        expected: Option<u64>,
    ) -> Result<RemoveOutcome, PortError> {
        self.try_remove(user, id, expected)
            .await
            .map_err(port_error)
    }

    async fn out_of_sync(
        &self,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<ScheduleId>, PortError> {
        let ids: Vec<Uuid> = sqlx::query_scalar(OUT_OF_SYNC)
            .bind(after.map_or(Uuid::nil(), ScheduleId::uuid))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(port_error)?;
        Ok(ids.into_iter().map(ScheduleId::new).collect())
    }

    async fn mark_synced(&self, id: ScheduleId, version: u64) -> Result<SyncMark, PortError> {
        let synced: Vec<bool> = sqlx::query_scalar(
            "UPDATE schedule
             SET synced_version = CASE WHEN version = $2 AND NOT removed THEN version ELSE 0 END
             WHERE id = $1 RETURNING synced_version = version",
        )
        .bind(id.uuid())
        .bind(column(version))
        // All rows, not the first: the statement has committed when the last answer is there.
        .fetch_all(&self.pool)
        .await
        .map_err(port_error)?;
        Ok(match synced[..] {
            [true] => SyncMark::Current,
            _ => SyncMark::Changed,
        })
    }

    async fn forget(&self, id: ScheduleId) -> Result<(), PortError> {
        sqlx::query("DELETE FROM schedule WHERE id = $1 AND removed")
            .bind(id.uuid())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(port_error)
    }
}

async fn version(tx: &mut Tx<Postgres>, user: UserId, id: ScheduleId) -> sqlx::Result<Option<u64>> {
    sqlx::query("SELECT version FROM schedule WHERE id = $1 AND user_id = $2 AND NOT removed")
        .bind(id.uuid())
        .bind(user.uuid())
        .try_map(|row: PgRow| row.number("version"))
        .fetch_optional(&mut **tx)
        .await
}
