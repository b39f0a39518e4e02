use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Sqlite, sqlite::SqliteRow};
use steadfast_notifications::{
    Draft, EventPage, EventPayload, FireOutcome, IdempotencyClaim, Notification, NotificationId,
    NotificationQuery, NotificationStore, Occurrence, Order, PortError, PublishOutcome, ScheduleId,
    Settlement, UserId,
};
use steadfast_privacy::Records;
use uuid::Uuid;

use super::{
    delivery_store::dispatch,
    event_log::{append_event, read_events},
    group_commit::GroupCommit,
    idempotency_key::{remember, replay},
};
use crate::adapters::{
    Expiry, GuardedPool,
    guarded_pool::Tx,
    rows::{Columns as _, column, is_transient, notification},
};

/// One notification of a user.
pub(super) const GET: &str = "SELECT * FROM notification WHERE id = ?1 AND user_id = ?2
     AND coalesce(read_at >= ?4, created_at >= ?3)";

/// Deletes one notification of a user.
const DELETE: &str = "DELETE FROM notification WHERE id = ?1 AND user_id = ?2
     AND coalesce(read_at >= ?4, created_at >= ?3)";

/// Marks a user's oldest unread notifications as read.
pub(super) const READ_UP_TO: &str = "UPDATE notification SET read_at = ?3 WHERE rowid IN
     (SELECT rowid FROM notification
     WHERE user_id = ?1 AND seq <= ?2 AND read_at IS NULL AND created_at >= ?5
     ORDER BY seq LIMIT ?4)
     RETURNING id";

/// Notes an occurrence, unless it is there.
pub(super) const SET_OCCURRENCE: &str =
    "INSERT INTO occurrence (schedule_id, scheduled_for, stored_at) VALUES (?1, ?2, ?3)
     ON CONFLICT DO NOTHING";

/// Whether a user's schedule may fire.
pub(super) const IS_ENABLED: &str =
    "SELECT enabled FROM schedule WHERE id = ?1 AND user_id = ?2 AND removed = 0";

/// Notifications, occurrences, idempotency keys, event logs and the outbox in SQLite.
#[derive(Clone, Debug)]
pub struct SqliteNotificationStore {
    pub(super) reader: GuardedPool<Sqlite>,
    pub(super) writer: GuardedPool<Sqlite>,
    pub(super) settlements: Arc<GroupCommit<(UserId, u64, Settlement), ()>>,
    fires: Arc<GroupCommit<(Draft, Occurrence), FireOutcome>>,
    expiry: Expiry,
}

impl SqliteNotificationStore {
    /// On a database that has [`NOTIFICATION_MIGRATIONS`](crate::adapters::NOTIFICATION_MIGRATIONS).
    #[must_use]
    pub fn new(reader: GuardedPool<Sqlite>, writer: GuardedPool<Sqlite>) -> Self {
        Self {
            reader,
            writer,
            settlements: Arc::default(),
            fires: Arc::default(),
            expiry: Expiry::default(),
        }
    }

    /// Shows nothing that is past retention by `expiry`.
    #[must_use]
    pub fn hiding(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    async fn try_publish(
        &self,
        draft: &Draft,
        claim: Option<&IdempotencyClaim>,
    ) -> sqlx::Result<PublishOutcome> {
        let keys_from = self.expiry.cutoff(Records::IdempotencyKeys);
        let mut tx = self.writer.begin().await?;
        if let Some(claim) = claim
            && let Some(outcome) = replay(&mut tx, claim, draft.created_at, keys_from).await?
        {
            return Ok(outcome);
        }
        let stored = append(&mut tx, draft, None).await?;
        if let Some(claim) = claim {
            remember(&mut tx, claim, &stored).await?;
        }
        tx.commit().await?;
        Ok(PublishOutcome::Stored(stored))
    }

    async fn try_fire(&self, draft: &Draft, occurrence: Occurrence) -> sqlx::Result<FireOutcome> {
        let together = (draft.clone(), occurrence);
        let together = self.fires.join(together, |fires| self.fire_all(fires));
        if let Some(outcome) = together.await {
            return Ok(outcome);
        }
        let mut tx = self.writer.begin().await?;
        let outcome = fire(&mut tx, draft, occurrence).await?;
        tx.commit().await?;
        Ok(outcome)
    }

    async fn fire_all(&self, fires: Vec<(Draft, Occurrence)>) -> sqlx::Result<Vec<FireOutcome>> {
        let mut tx = self.writer.begin().await?;
        let mut outcomes = Vec::with_capacity(fires.len());
        for (draft, occurrence) in fires {
            outcomes.push(fire(&mut tx, &draft, occurrence).await?);
        }
        tx.commit().await?;
        Ok(outcomes)
    }

    async fn try_list(
        &self,
        user: UserId,
        query: NotificationQuery,
    ) -> sqlx::Result<Vec<Notification>> {
        let bound = match query.order {
            Order::NewestFirst { before } => before.unwrap_or(u64::MAX),
            Order::OldestFirst { after } => after,
        };
        let list = sqlx::query(list_sql(query.order, query.unread))
            .bind(user.uuid())
            .bind(column(bound))
            .bind(query.limit)
            .bind(self.expiry.cutoff(Records::UnreadNotifications));
        let list = match query.unread {
            true => list,
            false => list.bind(self.expiry.cutoff(Records::ReadNotifications)),
        };
        list.try_map(|row: SqliteRow| notification(&row))
            .fetch_all(&self.reader)
            .await
    }

    async fn try_mark_read(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> sqlx::Result<Vec<NotificationId>> {
        let mut tx = self.writer.begin().await?;
        let mut read = Vec::new();
        for id in ids {
            let done = sqlx::query(
                "UPDATE notification SET read_at = ?3
                 WHERE id = ?1 AND user_id = ?2 AND read_at IS NULL AND created_at >= ?4",
            )
            .bind(id.uuid())
            .bind(user.uuid())
            .bind(at.as_microsecond())
            .bind(self.expiry.cutoff(Records::UnreadNotifications))
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 1 {
                read.push(*id);
            }
        }
        finish(tx, user, read, at, |ids| EventPayload::Read { ids }).await
    }

    async fn try_mark_read_up_to(
        &self,
        user: UserId,
        seq: u64,
        at: Timestamp,
        limit: u32,
    ) -> sqlx::Result<Vec<NotificationId>> {
        let mut tx = self.writer.begin().await?;
        let read: Vec<Uuid> = sqlx::query_scalar(READ_UP_TO)
            .bind(user.uuid())
            .bind(column(seq))
            .bind(at.as_microsecond())
            .bind(limit)
            .bind(self.expiry.cutoff(Records::UnreadNotifications))
            .fetch_all(&mut *tx)
            .await?;
        let read = read.into_iter().map(NotificationId::new).collect();
        finish(tx, user, read, at, |ids| EventPayload::Read { ids }).await
    }

    async fn try_delete(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> sqlx::Result<Vec<NotificationId>> {
        let mut tx = self.writer.begin().await?;
        let mut deleted = Vec::new();
        for id in ids {
            let done = sqlx::query(DELETE)
                .bind(id.uuid())
                .bind(user.uuid())
                .bind(self.expiry.cutoff(Records::UnreadNotifications))
                .bind(self.expiry.cutoff(Records::ReadNotifications))
                .execute(&mut *tx)
                .await?;
            if done.rows_affected() == 1 {
                deleted.push(*id);
            }
        }
        finish(tx, user, deleted, at, |ids| EventPayload::Deleted { ids }).await
    }

    async fn try_events(&self, user: UserId, after: u64, limit: u32) -> sqlx::Result<EventPage> {
        // One snapshot, so that no event is above the end of the log.
        let mut snapshot = self.reader.begin().await?;
        let (epoch, newest): (String, i64) = sqlx::query_as(
            "SELECT epoch, coalesce((SELECT position FROM user_log WHERE user_id = ?1), 0)
             FROM event_epoch WHERE id = 1",
        )
        .bind(user.uuid())
        .fetch_one(&mut *snapshot)
        .await?;
        let cutoff = self.expiry.cutoff(Records::UserEvents);
        let events = read_events(&mut snapshot, user, after, cutoff, limit).await?;
        let newest = u64::try_from(newest).unwrap_or_default();
        Ok(EventPage {
            epoch,
            newest,
            events,
        })
    }
}

#[async_trait]
impl NotificationStore for SqliteNotificationStore {
    async fn publish<'a>(
        &self,
        draft: &Draft,
        claim: Option<&'a IdempotencyClaim>,
    ) -> Result<PublishOutcome, PortError> {
        self.try_publish(draft, claim).await.map_err(port_error)
    }

    async fn fire(&self, draft: &Draft, occurrence: Occurrence) -> Result<FireOutcome, PortError> {
        self.try_fire(draft, occurrence).await.map_err(port_error)
    }

    async fn get(
        &self,
        user: UserId,
        id: NotificationId,
    ) -> Result<Option<Notification>, PortError> {
        sqlx::query(GET)
            .bind(id.uuid())
            .bind(user.uuid())
            .bind(self.expiry.cutoff(Records::UnreadNotifications))
            .bind(self.expiry.cutoff(Records::ReadNotifications))
            .try_map(|row: SqliteRow| notification(&row))
            .fetch_optional(&self.reader)
            .await
            .map_err(port_error)
    }

    async fn list(
        &self,
        user: UserId,
        query: NotificationQuery,
    ) -> Result<Vec<Notification>, PortError> {
        self.try_list(user, query).await.map_err(port_error)
    }

    async fn mark_read(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> Result<Vec<NotificationId>, PortError> {
        self.try_mark_read(user, ids, at).await.map_err(port_error)
    }

    async fn mark_read_up_to(
        &self,
        user: UserId,
        seq: u64,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<NotificationId>, PortError> {
        self.try_mark_read_up_to(user, seq, at, limit)
            .await
            .map_err(port_error)
    }

    async fn delete(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> Result<Vec<NotificationId>, PortError> {
        self.try_delete(user, ids, at).await.map_err(port_error)
    }

    async fn events(&self, user: UserId, after: u64, limit: u32) -> Result<EventPage, PortError> {
        self.try_events(user, after, limit)
            .await
            .map_err(port_error)
    }
}

/// A list of notifications; each reads no further than its limit.
pub(super) const fn list_sql(order: Order, unread: bool) -> &'static str {
    match (order, unread) {
        (Order::NewestFirst { .. }, false) => {
            "SELECT * FROM notification WHERE user_id = ?1 AND seq < ?2
             AND coalesce(read_at >= ?5, created_at >= ?4) ORDER BY seq DESC LIMIT ?3"
        }
        (Order::NewestFirst { .. }, true) => {
            "SELECT * FROM notification WHERE user_id = ?1 AND seq < ?2 AND read_at IS NULL
             AND created_at >= ?4 ORDER BY seq DESC LIMIT ?3"
        }
        (Order::OldestFirst { .. }, false) => {
            "SELECT * FROM notification WHERE user_id = ?1 AND seq > ?2
             AND coalesce(read_at >= ?5, created_at >= ?4) ORDER BY seq LIMIT ?3"
        }
        (Order::OldestFirst { .. }, true) => {
            "SELECT * FROM notification WHERE user_id = ?1 AND seq > ?2 AND read_at IS NULL
             AND created_at >= ?4 ORDER BY seq LIMIT ?3"
        }
    }
}

/// What the notifications learn of an error.
pub(super) fn port_error(error: sqlx::Error) -> PortError {
    if is_transient::<Sqlite>(&error) {
        PortError::transient(error)
    } else {
        PortError::permanent(error)
    }
}

/// Stores an occurrence's notification; writes nothing if it is stored or not to be stored.
async fn fire(
    tx: &mut Tx<Sqlite>,
    draft: &Draft,
    occurrence: Occurrence,
) -> sqlx::Result<FireOutcome> {
    let enabled: Option<bool> = sqlx::query_scalar(IS_ENABLED)
        .bind(occurrence.schedule_id.uuid())
        .bind(draft.user_id.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    if enabled != Some(true) {
        return Ok(FireOutcome::NotEnabled);
    }
    let stored = sqlx::query(SET_OCCURRENCE)
        .bind(occurrence.schedule_id.uuid())
        .bind(occurrence.scheduled_for.as_microsecond())
        .bind(draft.created_at.as_microsecond())
        .execute(&mut **tx)
        .await?;
    if stored.rows_affected() == 0 {
        return Ok(FireOutcome::AlreadyStored);
    }
    append(tx, draft, Some(occurrence))
        .await
        .map(FireOutcome::Stored)
}

/// Stores a notification under the user's next number, with its event.
async fn append(
    tx: &mut Tx<Sqlite>,
    draft: &Draft,
    occurrence: Option<Occurrence>,
) -> sqlx::Result<Notification> {
    let seq = sqlx::query(
        "INSERT INTO user_log (user_id, seq, position) VALUES (?1, 1, 0)
         ON CONFLICT (user_id) DO UPDATE SET seq = seq + 1 RETURNING seq",
    )
    .bind(draft.user_id.uuid())
    .try_map(|row: SqliteRow| row.number("seq"))
    .fetch_one(&mut **tx)
    .await?;
    let stored = draft.numbered(seq, occurrence);
    sqlx::query(
        "INSERT INTO notification
         (id, user_id, seq, title, body, topic, urgent, schedule_id, scheduled_for, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(stored.id.uuid())
    .bind(stored.user_id.uuid())
    .bind(column(seq))
    .bind(&stored.title)
    .bind(&stored.body)
    .bind(&stored.topic)
    .bind(stored.urgent)
    .bind(stored.schedule_id.map(ScheduleId::uuid))
    .bind(stored.scheduled_for.map(Timestamp::as_microsecond))
    .bind(stored.created_at.as_microsecond())
    .execute(&mut **tx)
    .await?;
    let event = EventPayload::Notification {
        notification: stored.clone(),
    };
    append_event(tx, draft.user_id, &event, draft.created_at).await?;
    dispatch(tx, draft).await?;
    Ok(stored)
}

/// Commits a change of some notifications with its event, unless nothing changed.
async fn finish(
    mut tx: Tx<Sqlite>,
    user: UserId,
    changed: Vec<NotificationId>,
    at: Timestamp,
    event: impl FnOnce(Vec<NotificationId>) -> EventPayload,
) -> sqlx::Result<Vec<NotificationId>> {
    if !changed.is_empty() {
        append_event(&mut tx, user, &event(changed.clone()), at).await?;
        tx.commit().await?;
    }
    Ok(changed)
}
