mod channels;
mod deliveries;
mod notifications;
mod outbox;
mod preferences;
mod schedules;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{
    ChannelId, Delivery, DeliveryId, Draft, EventPayload, MAX_EVENTS_PER_USER, Notification,
    NotificationId, Occurrence, Preferences, Schedule, ScheduleId, StoredChannel, UserEvent,
    UserId,
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
    preferences: HashMap<UserId, Preferences>,
    channels: BTreeMap<ChannelId, ChannelRow>,
    deliveries: BTreeMap<DeliveryId, DeliveryRow>,
}

#[derive(Debug)]
struct ChannelRow {
    stored: StoredChannel,
    claims: u64,
    claimed_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct DeliveryRow {
    delivery: Delivery,
    pending_since: Timestamp,
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
        self.dispatch(draft);
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
