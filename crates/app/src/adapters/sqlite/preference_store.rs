use async_trait::async_trait;
use sqlx::{Sqlite, sqlite::SqliteRow};
use steadfast_notifications::{PortError, PreferenceStore, Preferences, PutOutcome, UserId};

use super::notification_store::port_error;
use crate::adapters::{
    GuardedPool,
    rows::{channel_names, column, preferences, to_json},
};

/// Sets a user's preferences if those that are stored have version `?8`, which is one if none are.
const PUT: &str = "INSERT INTO preference AS stored
         (user_id, version, tz, quiet_hours, digest, channels, updated_at)
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
     WHERE ?8 = 1 OR EXISTS (SELECT 1 FROM preference WHERE user_id = ?1)
     ON CONFLICT (user_id) DO UPDATE SET version = ?2, tz = ?3, quiet_hours = ?4,
         digest = ?5, channels = ?6, updated_at = ?7
     WHERE stored.version = ?8";

/// Preferences in SQLite.
#[derive(Clone, Debug)]
pub struct SqlitePreferenceStore {
    reader: GuardedPool<Sqlite>,
    writer: GuardedPool<Sqlite>,
}

impl SqlitePreferenceStore {
    /// On a database that has
    /// [`NOTIFICATION_MIGRATIONS`](crate::adapters::NOTIFICATION_MIGRATIONS).
    #[must_use]
    pub fn new(reader: GuardedPool<Sqlite>, writer: GuardedPool<Sqlite>) -> Self {
        Self { reader, writer }
    }

    async fn try_put(
        &self,
        user: UserId,
        new: &Preferences,
        expected: u64,
    ) -> sqlx::Result<PutOutcome> {
        let put = sqlx::query(PUT)
            .bind(user.uuid())
            .bind(column(new.version))
            .bind(&new.tz)
            .bind(new.quiet_hours.as_ref().map(to_json).transpose()?)
            .bind(new.digest.as_ref().map(to_json).transpose()?)
            .bind(channel_names(&new.channels))
            .bind(new.updated_at.map(jiff::Timestamp::as_microsecond))
            .bind(column(expected))
            .execute(&self.writer)
            .await?;
        Ok(match put.rows_affected() {
            0 => PutOutcome::Stale,
            _ => PutOutcome::Stored,
        })
    }
}

#[async_trait]
impl PreferenceStore for SqlitePreferenceStore {
    async fn get(&self, user: UserId) -> Result<Option<Preferences>, PortError> {
        sqlx::query("SELECT * FROM preference WHERE user_id = ?1")
            .bind(user.uuid())
            .try_map(|row: SqliteRow| preferences(&row))
            .fetch_optional(&self.reader)
            .await
            .map_err(port_error)
    }

    async fn put(
        &self,
        user: UserId,
        preferences: &Preferences,
        expected: u64,
    ) -> Result<PutOutcome, PortError> {
        let put = self.try_put(user, preferences, expected).await;
        put.map_err(port_error)
    }
}
