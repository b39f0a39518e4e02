use std::collections::HashSet;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Postgres, postgres::PgRow};
use steadfast_notifications::{
    Draft, EventPage, EventPayload, FireOutcome, IdempotencyClaim, Notification, NotificationId,
    NotificationQuery, NotificationStore, Occurrence, Order, PortError, PublishOutcome, ScheduleId,
    UserId,
};
use steadfast_privacy::Records;
use uuid::Uuid;

use super::{
    delivery_store::dispatch,
    idempotency_key::{remember, replay},
    user_log::{Places, advance, append_event},
};
use crate::adapters::{
    Expiry, GuardedPool,
    guarded_pool::Tx,
    rows::{Columns as _, column, event, is_transient, notification},
};

/// One notification of a user.
pub(super) const GET: &str = "SELECT * FROM notification WHERE id = $1 AND user_id = $2
     AND coalesce(read_at >= $4, created_at >= $3)";

/// Marks a user's oldest unread notifications as read.
pub(super) const READ_UP_TO: &str = "UPDATE notification SET read_at = $3 WHERE id = ANY (ARRAY
     (SELECT id FROM notification
     WHERE user_id = $1 AND seq <= $2 AND read_at IS NULL AND created_at >= $5
     ORDER BY seq LIMIT $4))
     RETURNING id";

/// Notes an occurrence of a user's schedule, unless it is there or the schedule may not fire.
pub(super) const SET_OCCURRENCE: &str =
    "INSERT INTO occurrence (schedule_id, scheduled_for, stored_at)
     SELECT id, $3, $4 FROM schedule WHERE id = $1 AND user_id = $2 AND enabled AND NOT removed
     ON CONFLICT DO NOTHING";

/// A part of a user's log, with its epoch and its end: one statement, so one snapshot, so that no
/// event is above the end.
pub(super) const EVENTS: &str = "SELECT epoch,
         coalesce((SELECT position FROM user_log WHERE user_id = $1), 0) AS newest,
         event.position, event.payload
     FROM event_epoch LEFT JOIN LATERAL
         (SELECT position, payload FROM user_event
         WHERE user_id = $1 AND position > $2 AND created_at >= $4
         ORDER BY position LIMIT $3) AS event ON TRUE
     WHERE event_epoch.id = 1 ORDER BY event.position";

/// Notifications, occurrences, idempotency keys, event logs and the outbox in Postgres.
#[derive(Clone, Debug)]
pub struct PostgresNotificationStore {
    pub(super) pool: GuardedPool<Postgres>,
    expiry: Expiry,
}

impl PostgresNotificationStore {
    /// On a database that has
    /// [`NOTIFICATION_MIGRATIONS`](crate::adapters::NOTIFICATION_MIGRATIONS).
    #[must_use]
    pub fn new(pool: GuardedPool<Postgres>) -> Self {
        Self {
            pool,
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
        let mut tx = self.pool.begin().await?;
        if let Some(claim) = claim
            && let Some(outcome) = replay(&mut tx, claim, draft.created_at, keys_from).await?
        {
            return Ok(outcome);
        }
        let places = advance(&mut tx, draft.user_id, true, draft.created_at).await?;
        let stored = append(&mut tx, draft, None, &places).await?;
        if let Some(claim) = claim {
            remember(&mut tx, claim, &stored).await?;
        }
        tx.commit().await?;
        Ok(PublishOutcome::Stored(stored))
    }

    async fn try_fire(&self, draft: &Draft, occurrence: Occurrence) -> sqlx::Result<FireOutcome> {
        let mut tx = self.pool.begin().await?;
        // The user's lock comes first, also for what is not stored in the end: who pauses the
        // schedule holds it too, so that nothing is stored once it is paused.
        let places = advance(&mut tx, draft.user_id, true, draft.created_at).await?;
        let noted = sqlx::query(SET_OCCURRENCE)
            .bind(occurrence.schedule_id.uuid())
            .bind(draft.user_id.uuid())
            .bind(occurrence.scheduled_for.as_microsecond())
            .bind(draft.created_at.as_microsecond())
            .execute(&mut *tx)
            .await?;
        if noted.rows_affected() == 0 {
            return not_stored(&mut tx, draft.user_id, occurrence).await;
        }
        let stored = append(&mut tx, draft, Some(occurrence), &places).await?;
        tx.commit().await?;
        Ok(FireOutcome::Stored(stored))
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
            .bind(i64::from(query.limit))
            .bind(self.expiry.cutoff(Records::UnreadNotifications));
        let list = match query.unread {
            true => list,
            false => list.bind(self.expiry.cutoff(Records::ReadNotifications)),
        };
        list.try_map(|row: PgRow| notification(&row))
            .fetch_all(&self.pool)
            .await
    }

    async fn try_mark_read(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> sqlx::Result<Vec<NotificationId>> {
        let mut tx = self.pool.begin().await?;
        let places = advance(&mut tx, user, false, at).await?;
        let read: Vec<Uuid> = sqlx::query_scalar(
            "UPDATE notification SET read_at = $3
             WHERE id = ANY ($1) AND user_id = $2 AND read_at IS NULL AND created_at >= $4
             RETURNING id",
        )
        .bind(uuids(ids))
        .bind(user.uuid())
        .bind(at.as_microsecond())
        .bind(self.expiry.cutoff(Records::UnreadNotifications))
        .fetch_all(&mut *tx)
        .await?;
        let event = |ids| EventPayload::Read { ids };
        finish(tx, user, &places, in_order(ids, read), at, event).await
    }

    async fn try_mark_read_up_to(
        &self,
        user: UserId,
        seq: u64,
        at: Timestamp,
        limit: u32,
    ) -> sqlx::Result<Vec<NotificationId>> {
        let mut tx = self.pool.begin().await?;
        let places = advance(&mut tx, user, false, at).await?;
        let read: Vec<Uuid> = sqlx::query_scalar(READ_UP_TO)
            .bind(user.uuid())
            .bind(column(seq))
            .bind(at.as_microsecond())
            .bind(i64::from(limit))
            .bind(self.expiry.cutoff(Records::UnreadNotifications))
            .fetch_all(&mut *tx)
            .await?;
        let read = read.into_iter().map(NotificationId::new).collect();
        let event = |ids| EventPayload::Read { ids };
        finish(tx, user, &places, read, at, event).await
    }

    async fn try_delete(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> sqlx::Result<Vec<NotificationId>> {
        let mut tx = self.pool.begin().await?;
        let places = advance(&mut tx, user, false, at).await?;
        let deleted: Vec<Uuid> = sqlx::query_scalar(
            "DELETE FROM notification WHERE id = ANY ($1) AND user_id = $2
             AND coalesce(read_at >= $4, created_at >= $3) RETURNING id",
        )
        .bind(uuids(ids))
        .bind(user.uuid())
        .bind(self.expiry.cutoff(Records::UnreadNotifications))
        .bind(self.expiry.cutoff(Records::ReadNotifications))
        .fetch_all(&mut *tx)
        .await?;
        let event = |ids| EventPayload::Deleted { ids };
        finish(tx, user, &places, in_order(ids, deleted), at, event).await
    }

    async fn try_events(&self, user: UserId, after: u64, limit: u32) -> sqlx::Result<EventPage> {
        let rows = sqlx::query(EVENTS)
            .bind(user.uuid())
            .bind(column(after))
            .bind(i64::from(limit))
            .bind(self.expiry.cutoff(Records::UserEvents))
            .fetch_all(&self.pool)
            .await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let mut page = EventPage {
            epoch: first.text("epoch")?.to_owned(),
            newest: first.number("newest")?,
            events: Vec::new(),
        };
        for row in &rows {
            // A log without such events has a row all the same, for its epoch and its end.
            if row.optional_integer("position")?.is_some() {
                let (_, event) = event(row)?;
                page.events.extend(event);
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl NotificationStore for PostgresNotificationStore {
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
            .try_map(|row: PgRow| notification(&row))
            .fetch_optional(&self.pool)
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
            "SELECT * FROM notification WHERE user_id = $1 AND seq < $2
             AND coalesce(read_at >= $5, created_at >= $4) ORDER BY seq DESC LIMIT $3"
        }
        (Order::NewestFirst { .. }, true) => {
            "SELECT * FROM notification WHERE user_id = $1 AND seq < $2 AND read_at IS NULL
             AND created_at >= $4 ORDER BY seq DESC LIMIT $3"
        }
        (Order::OldestFirst { .. }, false) => {
            "SELECT * FROM notification WHERE user_id = $1 AND seq > $2
             AND coalesce(read_at >= $5, created_at >= $4) ORDER BY seq LIMIT $3"
        }
        (Order::OldestFirst { .. }, true) => {
            "SELECT * FROM notification WHERE user_id = $1 AND seq > $2 AND read_at IS NULL
             AND created_at >= $4 ORDER BY seq LIMIT $3"
        }
    }
}

/// What the notifications learn of an error.
pub(super) fn port_error(error: sqlx::Error) -> PortError {
    if is_transient::<Postgres>(&error) {
        PortError::transient(error)
    } else {
        PortError::permanent(error)
    }
}

/// Why an occurrence was not noted.
async fn not_stored(
    tx: &mut Tx<Postgres>,
    user: UserId,
    occurrence: Occurrence,
) -> sqlx::Result<FireOutcome> {
    let enabled: Option<bool> = sqlx::query_scalar(
        "SELECT enabled FROM schedule WHERE id = $1 AND user_id = $2 AND NOT removed",
    )
    .bind(occurrence.schedule_id.uuid())
    .bind(user.uuid())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(match enabled {
        Some(true) => FireOutcome::AlreadyStored,
        Some(false) | None => FireOutcome::NotEnabled,
    })
}

/// Stores a notification in its places, with its event.
async fn append(
    tx: &mut Tx<Postgres>,
    draft: &Draft,
    occurrence: Option<Occurrence>,
    places: &Places,
) -> sqlx::Result<Notification> {
    let stored = draft.numbered(places.seq, occurrence);
    sqlx::query(
        "INSERT INTO notification
         (id, user_id, seq, title, body, topic, urgent, schedule_id, scheduled_for, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(stored.id.uuid())
    .bind(stored.user_id.uuid())
    .bind(column(stored.seq))
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
    append_event(tx, draft.user_id, places, &event, draft.created_at).await?;
    dispatch(tx, draft).await?;
    Ok(stored)
}

/// Commits a change of some notifications with its event, unless nothing changed.
async fn finish(
    mut tx: Tx<Postgres>,
    user: UserId,
    places: &Places,
    changed: Vec<NotificationId>,
    at: Timestamp,
    event: impl FnOnce(Vec<NotificationId>) -> EventPayload,
) -> sqlx::Result<Vec<NotificationId>> {
    if !changed.is_empty() {
        append_event(&mut tx, user, places, &event(changed.clone()), at).await?;
        tx.commit().await?;
    }
    Ok(changed)
}

fn uuids(ids: &[NotificationId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.uuid()).collect()
}

/// Those of `ids` that are `found`, each once.
fn in_order(ids: &[NotificationId], found: Vec<Uuid>) -> Vec<NotificationId> {
    let mut found: HashSet<_> = found.into_iter().collect();
    let ids = ids.iter().filter(|id| found.remove(&id.uuid()));
    ids.copied().collect()
}
