use async_trait::async_trait;
use sqlx::{
    Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use steadfast_privacy::{PolicyChange, PolicyStore, PortError, Records, RetentionPolicy};
use uuid::Uuid;

use super::privacy_store::port_error;
use crate::{
    adapters::{
        Expiry, GuardedPool,
        rows::{audit_entry, change_entry, column, policy},
    },
    audit::{AuditEntry, AuditLog, AuditQuery},
};

/// The audit log, and the policies that were changed, in Postgres. A change of a policy and its
/// audit entry are one transaction.
#[derive(Clone, Debug)]
pub struct PostgresAuditStore {
    pool: GuardedPool<Postgres>,
    expiry: Expiry,
}

impl PostgresAuditStore {
    /// On a database that has [`PRIVACY_MIGRATIONS`](crate::adapters::PRIVACY_MIGRATIONS).
    #[must_use]
    pub fn new(pool: GuardedPool<Postgres>) -> Self {
        Self {
            pool,
            expiry: Expiry::default(),
        }
    }

    /// Lists nothing that is past retention by `expiry`.
    #[must_use]
    pub fn hiding(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    async fn try_store(&self, change: &PolicyChange) -> sqlx::Result<bool> {
        let after = &change.after;
        let mut tx = self.pool.begin().await?;
        // A policy that was never stored has the version 1.
        let done = sqlx::query(
            "INSERT INTO privacy_policy
             (records, days, enabled, legal_hold, reason, version, updated_at)
             SELECT $1, $2, $3, $4, $5, $6, $7
             WHERE $8 = 1 OR EXISTS (SELECT 1 FROM privacy_policy WHERE records = $1)
             ON CONFLICT (records) DO UPDATE SET days = excluded.days,
             enabled = excluded.enabled, legal_hold = excluded.legal_hold,
             reason = excluded.reason, version = excluded.version,
             updated_at = excluded.updated_at
             WHERE privacy_policy.version = $8",
        )
        .bind(after.records.name())
        .bind(i64::from(after.days))
        .bind(after.enabled)
        .bind(after.legal_hold)
        .bind(&after.reason)
        .bind(column(after.version))
        .bind(after.updated_at.unwrap_or_default().as_microsecond())
        .bind(column(change.before.version))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        insert(&change_entry(change)).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn try_list(&self, query: &AuditQuery) -> sqlx::Result<Vec<AuditEntry>> {
        let before = query.before.unwrap_or(Uuid::max());
        let statement = sqlx::query(list_sql(query))
            .bind(self.expiry.cutoff(Records::AuditEntries))
            .bind(before)
            .bind(i64::from(query.limit));
        let statement = match query.user_id {
            Some(user) => statement.bind(user),
            None => statement,
        };
        let statement = match query.action {
            Some(action) => statement.bind(action.name()),
            None => statement,
        };
        statement
            .try_map(|row: PgRow| audit_entry(&row))
            .fetch_all(&self.pool)
            .await
    }
}

#[async_trait]
impl PolicyStore for PostgresAuditStore {
    async fn load(&self) -> Result<Vec<RetentionPolicy>, PortError> {
        sqlx::query("SELECT * FROM privacy_policy")
            .try_map(|row: PgRow| policy(&row))
            .fetch_all(&self.pool)
            .await
            .map_err(port_error)
    }

    async fn store(&self, change: &PolicyChange) -> Result<bool, PortError> {
        self.try_store(change).await.map_err(port_error)
    }
}

#[async_trait]
impl AuditLog for PostgresAuditStore {
    async fn record(&self, entry: &AuditEntry) -> Result<(), PortError> {
        let done = insert(entry).execute(&self.pool).await;
        done.map(drop).map_err(port_error)
    }

    async fn list(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, PortError> {
        self.try_list(query).await.map_err(port_error)
    }
}

/// The list that a query wants; each reads an index from the newest entry on.
pub(super) const fn list_sql(query: &AuditQuery) -> &'static str {
    match (query.user_id, query.action) {
        (None, None) => {
            "SELECT * FROM audit_entry WHERE at >= $1 AND id < $2
             ORDER BY id DESC LIMIT $3"
        }
        (Some(_), None) => {
            "SELECT * FROM audit_entry WHERE at >= $1 AND id < $2
             AND user_id = $4 ORDER BY id DESC LIMIT $3"
        }
        (None, Some(_)) => {
            "SELECT * FROM audit_entry WHERE at >= $1 AND id < $2
             AND action = $4 ORDER BY id DESC LIMIT $3"
        }
        (Some(_), Some(_)) => {
            "SELECT * FROM audit_entry WHERE at >= $1 AND id < $2
             AND user_id = $4 AND action = $5 ORDER BY id DESC LIMIT $3"
        }
    }
}

fn insert(entry: &AuditEntry) -> Query<'_, Postgres, PgArguments> {
    sqlx::query(
        "INSERT INTO audit_entry
         (id, at, action, succeeded, user_id, target, detail, address, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(entry.id)
    .bind(entry.at.as_microsecond())
    .bind(entry.action.name())
    .bind(entry.succeeded)
    .bind(entry.user_id)
    .bind(&entry.target)
    .bind(&entry.detail)
    .bind(entry.address.map(|address| address.to_string()))
    .bind(entry.request_id)
}
