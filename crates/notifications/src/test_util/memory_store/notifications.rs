use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Draft, EventPage, EventPayload, FireOutcome, IdempotencyClaim, Notification, NotificationId,
    NotificationQuery, NotificationStore, Occurrence, Order, PortError, PublishOutcome, UserId,
};

use super::{EPOCH, Key, Log, MemoryStore};

#[async_trait]
impl NotificationStore for MemoryStore {
    async fn publish<'a>(
        &self,
        draft: &Draft,
        claim: Option<&'a IdempotencyClaim>,
    ) -> Result<PublishOutcome, PortError> {
        Ok(self.with(|state| {
            let Some(claim) = claim else {
                return PublishOutcome::Stored(state.append(draft, None));
            };
            let name = (claim.caller, claim.key.clone());
            if let Some(key) = state.keys.get(&name)
                && key.expires_at > draft.created_at
            {
                return match key.body_hash == claim.body_hash {
                    true => PublishOutcome::Replayed(key.answer.clone()),
                    false => PublishOutcome::KeyReused,
                };
            }
            let answer = state.append(draft, None);
            let key = Key {
                body_hash: claim.body_hash,
                expires_at: claim.expires_at,
                answer: answer.clone(),
            };
            state.keys.insert(name, key);
            PublishOutcome::Stored(answer)
        }))
    }

    async fn fire(&self, draft: &Draft, occurrence: Occurrence) -> Result<FireOutcome, PortError> {
        Ok(self.with(|state| {
            let schedule = state.live(draft.user_id, occurrence.schedule_id);
            if !schedule.is_some_and(|row| row.schedule.enabled) {
                FireOutcome::NotEnabled
            } else if !state.occurrences.insert(occurrence) {
                FireOutcome::AlreadyStored
            } else {
                FireOutcome::Stored(state.append(draft, Some(occurrence)))
            }
        }))
    }

    async fn get(
        &self,
        user: UserId,
        id: NotificationId,
    ) -> Result<Option<Notification>, PortError> {
        Ok(self.with(|state| {
            let mut notifications = state.logs.get(&user)?.notifications.values();
            notifications
                .find(|notification| notification.id == id)
                .cloned()
        }))
    }

    async fn list(
        &self,
        user: UserId,
        query: NotificationQuery,
    ) -> Result<Vec<Notification>, PortError> {
        Ok(self.with(|state| {
            let Some(log) = state.logs.get(&user) else {
                return Vec::new();
            };
            let wanted = |found: &&Notification| !query.unread || found.read_at.is_none();
            let limit = query.limit as usize;
            match query.order {
                Order::NewestFirst { before } => {
                    let range = log.notifications.range(..before.unwrap_or(u64::MAX));
                    range
                        .rev()
                        .map(|(_, n)| n)
                        .filter(wanted)
                        .take(limit)
                        .cloned()
                        .collect()
                }
                Order::OldestFirst { after } => {
                    let range = log.notifications.range(after.saturating_add(1)..);
                    range
                        .map(|(_, n)| n)
                        .filter(wanted)
                        .take(limit)
                        .cloned()
                        .collect()
                }
            }
        }))
    }

    async fn mark_read(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> Result<Vec<NotificationId>, PortError> {
        Ok(self.with(|state| {
            let Some(log) = state.logs.get_mut(&user) else {
                return Vec::new();
            };
            let unread = log
                .notifications
                .values_mut()
                .filter(|found| found.read_at.is_none() && ids.contains(&found.id));
            let read = Log::mark_read(unread, at);
            if !read.is_empty() {
                log.append(EventPayload::Read { ids: read.clone() }, at);
            }
            read
        }))
    }

    async fn mark_read_up_to(
        &self,
        user: UserId,
        seq: u64,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<NotificationId>, PortError> {
        Ok(self.with(|state| {
            let Some(log) = state.logs.get_mut(&user) else {
                return Vec::new();
            };
            let range = log.notifications.range_mut(..=seq).map(|(_, found)| found);
            let unread = range
                .filter(|found| found.read_at.is_none())
                .take(limit as usize);
            let read = Log::mark_read(unread, at);
            if !read.is_empty() {
                log.append(EventPayload::Read { ids: read.clone() }, at);
            }
            read
        }))
    }

    async fn delete(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> Result<Vec<NotificationId>, PortError> {
        Ok(self.with(|state| {
            let Some(log) = state.logs.get_mut(&user) else {
                return Vec::new();
            };
            let mut deleted = Vec::new();
            log.notifications.retain(|_, found| {
                let keep = !ids.contains(&found.id);
                if !keep {
                    deleted.push(found.id);
                }
                keep
            });
            if !deleted.is_empty() {
                log.append(
                    EventPayload::Deleted {
                        ids: deleted.clone(),
                    },
                    at,
                );
            }
            deleted
        }))
    }

    async fn events(&self, user: UserId, after: u64, limit: u32) -> Result<EventPage, PortError> {
        Ok(self.with(|state| {
            let log = state.logs.get(&user);
            EventPage {
                epoch: EPOCH.to_owned(),
                newest: log.map_or(0, |log| log.offset),
                events: log
                    .map(|log| log.events_after(after, limit))
                    .unwrap_or_default(),
            }
        }))
    }
}
