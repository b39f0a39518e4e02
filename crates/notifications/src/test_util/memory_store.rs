use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Draft, EventPage, EventPayload, FireOutcome, IdempotencyClaim, InsertOutcome,
    MAX_EVENTS_PER_USER, Notification, NotificationId, NotificationQuery, NotificationStore,
    Occurrence, Order, OutboxClaim, OutboxStore, PortError, PublishOutcome, RemoveOutcome,
    Schedule, ScheduleId, ScheduleStore, Settlement, StoredSchedule, SyncMark, UpdateOutcome,
    UserEvent, UserId,
};

const EPOCH: &str = "memory";

/// Every store port in memory, for tests; what one call does is atomic.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    schedules: BTreeMap<ScheduleId, Row>,
    occurrences: HashSet<Occurrence>,
    keys: HashMap<(UserId, String), Key>,
    logs: HashMap<UserId, Log>,
}

#[derive(Debug)]
struct Row {
    schedule: Schedule,
    removed: bool,
    synced: u64,
}

#[derive(Debug)]
struct Key {
    body_hash: [u8; 32],
    expires_at: Timestamp,
    answer: Notification,
}

/// What a user has received, and what happened to it.
#[derive(Debug, Default)]
struct Log {
    seq: u64,
    notifications: BTreeMap<u64, Notification>,
    offset: u64,
    events: BTreeMap<u64, EventPayload>,
    /// The offset up to which everything was pushed.
    pushed: u64,
    /// When what is pending may be claimed; `None` if nothing is pending.
    available_at: Option<Timestamp>,
    claims: u64,
    failures: u32,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn live(&self, user: UserId, id: ScheduleId) -> Option<&Row> {
        let row = self.schedules.get(&id)?;
        (row.schedule.user_id == user && !row.removed).then_some(row)
    }

    fn append(&mut self, draft: &Draft, occurrence: Option<Occurrence>) -> Notification {
        let log = self.logs.entry(draft.user_id).or_default();
        log.seq += 1;
        let notification = draft.numbered(log.seq, occurrence);
        log.notifications.insert(log.seq, notification.clone());
        let event = EventPayload::Notification {
            notification: notification.clone(),
        };
        log.append(event, draft.created_at);
        notification
    }
}

impl Log {
    fn append(&mut self, event: EventPayload, at: Timestamp) {
        self.offset += 1;
        self.events.insert(self.offset, event);
        self.events = self
            .events
            .split_off(&(self.offset.saturating_sub(MAX_EVENTS_PER_USER) + 1));
        self.available_at.get_or_insert(at);
    }

    fn events_after(&self, after: u64, limit: u32) -> Vec<UserEvent> {
        let events = self
            .events
            .range(after.saturating_add(1)..)
            .take(limit as usize);
        events
            .map(|(&offset, payload)| UserEvent {
                offset,
                payload: payload.clone(),
            })
            .collect()
    }

    fn mark_read<'a>(
        notifications: impl Iterator<Item = &'a mut Notification>,
        at: Timestamp,
    ) -> Vec<NotificationId> {
        notifications
            .map(|notification| {
                notification.read_at = Some(at);
                notification.id
            })
            .collect()
    }
}

#[async_trait]
impl ScheduleStore for MemoryStore {
    async fn insert(&self, schedule: &Schedule, limit: u32) -> Result<InsertOutcome, PortError> {
        self.with(|state| {
            let owned = state
                .schedules
                .values()
                .filter(|row| row.schedule.user_id == schedule.user_id && !row.removed);
            if owned.count() >= limit as usize {
                return Ok(InsertOutcome::LimitReached);
            }
            if state.schedules.contains_key(&schedule.id) {
                return Err(PortError::permanent("the id is taken"));
            }
            let row = Row {
                schedule: schedule.clone(),
                removed: false,
                synced: 0,
            };
            state.schedules.insert(schedule.id, row);
            Ok(InsertOutcome::Inserted)
        })
    }

    async fn get(&self, user: UserId, id: ScheduleId) -> Result<Option<Schedule>, PortError> {
        Ok(self.with(|state| state.live(user, id).map(|row| row.schedule.clone())))
    }

    async fn load(&self, id: ScheduleId) -> Result<Option<StoredSchedule>, PortError> {
        Ok(self.with(|state| {
            let row = state.schedules.get(&id)?;
            Some(match row.removed {
                true => StoredSchedule::Tombstone,
                false => StoredSchedule::Live(row.schedule.clone()),
            })
        }))
    }

    async fn list(
        &self,
        user: UserId,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<Schedule>, PortError> {
        Ok(self.with(|state| {
            let rows = state.schedules.values().filter(|row| {
                row.schedule.user_id == user && !row.removed && Some(row.schedule.id) > after
            });
            rows.take(limit as usize)
                .map(|row| row.schedule.clone())
                .collect()
        }))
    }

    async fn update(&self, schedule: &Schedule, expected: u64) -> Result<UpdateOutcome, PortError> {
        Ok(
            self.with(|state| match state.live(schedule.user_id, schedule.id) {
                None => UpdateOutcome::Missing,
                Some(row) if row.schedule.version != expected => UpdateOutcome::Stale {
                    actual: row.schedule.version,
                },
                Some(row) => {
                    let created_at = row.schedule.created_at;
                    if let Some(row) = state.schedules.get_mut(&schedule.id) {
                        row.schedule = Schedule {
                            created_at,
                            ..schedule.clone()
                        };
                    }
                    UpdateOutcome::Updated
                }
            }),
        )
    }

    async fn remove(
        &self,
        user: UserId,
        id: ScheduleId,
        expected: Option<u64>,
    ) -> Result<RemoveOutcome, PortError> {
        Ok(self.with(|state| {
            let Some(actual) = state.live(user, id).map(|row| row.schedule.version) else {
                return RemoveOutcome::Missing;
            };
            if expected.is_some_and(|expected| expected != actual) {
                return RemoveOutcome::Stale { actual };
            }
            if let Some(row) = state.schedules.get_mut(&id) {
                row.removed = true;
                row.schedule.version += 1;
            }
            RemoveOutcome::Removed
        }))
    }

    async fn out_of_sync(
        &self,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<ScheduleId>, PortError> {
        Ok(self.with(|state| {
            let behind = state
                .schedules
                .iter()
                .filter(|(id, row)| row.synced != row.schedule.version && Some(**id) > after);
            behind.take(limit as usize).map(|(id, _)| *id).collect()
        }))
    }

    async fn mark_synced(&self, id: ScheduleId, version: u64) -> Result<SyncMark, PortError> {
        Ok(self.with(|state| match state.schedules.get_mut(&id) {
            Some(row) if row.schedule.version == version && !row.removed => {
                row.synced = version;
                SyncMark::Current
            }
            Some(row) => {
                row.synced = 0;
                SyncMark::Changed
            }
            None => SyncMark::Changed,
        }))
    }

    async fn forget(&self, id: ScheduleId) -> Result<(), PortError> {
        self.with(|state| {
            if state.schedules.get(&id).is_some_and(|row| row.removed) {
                state.schedules.remove(&id);
            }
        });
        Ok(())
    }
}

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

#[async_trait]
impl OutboxStore for MemoryStore {
    async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        users: u32,
        events: u32,
    ) -> Result<Vec<OutboxClaim>, PortError> {
        Ok(self.with(|state| {
            let pending = state.logs.iter_mut();
            let mut pending: Vec<_> = pending
                .filter(|(_, log)| log.available_at.is_some_and(|at| at <= now))
                .collect();
            pending.sort_by_key(|(user, log)| (log.available_at, **user));
            let claimed = pending.into_iter().take(users as usize);
            claimed
                .map(|(&user_id, log)| {
                    log.available_at = Some(until);
                    log.claims += 1;
                    OutboxClaim {
                        user_id,
                        number: log.claims,
                        failures: log.failures,
                        epoch: EPOCH.to_owned(),
                        events: log.events_after(log.pushed, events),
                    }
                })
                .collect()
        }))
    }

    async fn settle(&self, claim: &OutboxClaim, settlement: Settlement) -> Result<(), PortError> {
        self.with(|state| {
            let Some(log) = state.logs.get_mut(&claim.user_id) else {
                return;
            };
            if log.claims != claim.number {
                return;
            }
            match settlement {
                Settlement::Pushed { at } => {
                    let last = claim.events.last().map(|event| event.offset);
                    log.pushed = log.pushed.max(last.unwrap_or_default());
                    log.failures = 0;
                    let is_pending = !log.events_after(log.pushed, 1).is_empty();
                    log.available_at = is_pending.then_some(at);
                }
                Settlement::RetryAt { pushed, at } => {
                    log.pushed = log.pushed.max(pushed.unwrap_or_default());
                    log.failures += 1;
                    log.available_at = Some(at);
                }
            }
        });
        Ok(())
    }
}
