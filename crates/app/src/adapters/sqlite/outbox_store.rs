use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Sqlite, sqlite::SqliteRow};
use steadfast_notifications::{OutboxClaim, OutboxStore, PortError, Settlement, UserId};

use super::{SqliteNotificationStore, event_log::claim_events, notification_store::port_error};
use crate::adapters::{
    guarded_pool::Tx,
    rows::{Columns as _, broken, column},
};

/// Who waits, the longest waiting first.
pub(super) const PENDING: &str = "SELECT user_id FROM user_log WHERE available_at <= ?1
     ORDER BY available_at LIMIT ?2";

/// Claims a user, unless somebody was faster.
pub(super) const CLAIM: &str = "UPDATE user_log SET available_at = ?3, claims = claims + 1
     WHERE user_id = ?1 AND available_at <= ?2 RETURNING claims, failures, pushed";

/// Ends a claim whose pushes did not fail.
pub(super) const PUSHED: &str = "UPDATE user_log SET pushed = max(pushed, ?3), failures = 0,
     available_at = CASE WHEN EXISTS
     (SELECT 1 FROM user_event
     WHERE user_id = ?1 AND position > max(user_log.pushed, ?3))
     THEN ?4 END
     WHERE user_id = ?1 AND claims = ?2";

/// Makes everything that waits pending.
pub(super) const RELEASE: &str =
    "UPDATE user_log SET available_at = ?1, claims = claims + 1 WHERE available_at > ?1";

impl SqliteNotificationStore {
    async fn try_claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        users: u32,
        events: u32,
    ) -> sqlx::Result<Vec<OutboxClaim>> {
        let mut pending = self.pending(now, users).await?;
        if pending.is_empty() {
            // Most polls end here, without having kept the writer from anybody.
            return Ok(Vec::new());
        }
        let mut tx = self.writer.begin().await?;
        let epoch: String = sqlx::query_scalar("SELECT epoch FROM event_epoch WHERE id = 1")
            .fetch_one(&mut *tx)
            .await?;
        let mut claims = Vec::new();
        for user in pending.drain(..) {
            let claimed = sqlx::query(CLAIM)
                .bind(user.uuid())
                .bind(now.as_microsecond())
                .bind(until.as_microsecond())
                .fetch_optional(&mut *tx)
                .await?;
            // Somebody else was faster.
            let Some(row) = claimed else { continue };
            let pushed = row.number("pushed")?;
            claims.push(OutboxClaim {
                user_id: user,
                number: row.number("claims")?,
                failures: u32::try_from(row.number("failures")?)
                    .map_err(|_| broken("failures", "are too many"))?,
                epoch: epoch.clone(),
                events: claim_events(&mut tx, user, pushed, events).await?,
            });
        }
        tx.commit().await?;
        Ok(claims)
    }

    async fn pending(&self, now: Timestamp, users: u32) -> sqlx::Result<Vec<UserId>> {
        sqlx::query(PENDING)
            .bind(now.as_microsecond())
            .bind(users)
            .try_map(|row: SqliteRow| row.id("user_id").map(UserId::new))
            .fetch_all(&self.reader)
            .await
    }

    async fn try_settle(&self, claim: &OutboxClaim, settlement: Settlement) -> sqlx::Result<()> {
        let settlement = (claim.user_id, claim.number, settlement);
        let together = self
            .settlements
            .join(settlement, |settlements| self.settle_all(settlements));
        match together.await {
            Some(()) => Ok(()),
            None => self.settle_all(vec![settlement]).await.map(drop),
        }
    }

    async fn settle_all(
        &self,
        settlements: Vec<(UserId, u64, Settlement)>,
    ) -> sqlx::Result<Vec<()>> {
        let mut tx = self.writer.begin().await?;
        let mut settled = Vec::with_capacity(settlements.len());
        for (user, claim, settlement) in settlements {
            settled.push(settle(&mut tx, user, claim, settlement).await?);
        }
        tx.commit().await?;
        Ok(settled)
    }
}

#[async_trait]
impl OutboxStore for SqliteNotificationStore {
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
        self.try_settle(claim, settlement).await.map_err(port_error)
    }

    async fn release(&self, now: Timestamp) -> Result<u64, PortError> {
        sqlx::query(RELEASE)
            .bind(now.as_microsecond())
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(port_error)
    }
}

async fn settle(
    tx: &mut Tx<Sqlite>,
    user: UserId,
    claim: u64,
    settlement: Settlement,
) -> sqlx::Result<()> {
    let (sql, pushed, at) = match settlement {
        Settlement::Pushed { pushed, at } => (PUSHED, pushed, at),
        Settlement::RetryAt { pushed, at } => (
            "UPDATE user_log SET pushed = max(pushed, ?3), failures = failures + 1,
                        available_at = ?4
                 WHERE user_id = ?1 AND claims = ?2",
            pushed,
            at,
        ),
    };
    sqlx::query(sql)
        .bind(user.uuid())
        .bind(column(claim))
        .bind(column(pushed.unwrap_or_default()))
        .bind(at.as_microsecond())
        .execute(&mut **tx)
        .await
        .map(drop)
}
