//! What the store ports take and answer.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{
    Dispatch, NewNotification, Notification, NotificationId, Occurrence, Schedule, UserEvent,
    UserId,
};

/// How many events of a user are kept at most.
pub const MAX_EVENTS_PER_USER: u64 = 1_000;

/// What the insertion of a schedule or a channel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// It is stored.
    Inserted,
    /// Its owner has as many as allowed; nothing is stored.
    LimitReached,
}

/// What the update of a schedule or a channel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It is replaced.
    Updated,
    /// Somebody else was faster; nothing is changed.
    Stale {
        /// The stored version.
        actual: u64,
    },
    /// The owner has none of that id.
    Missing,
}

/// What the removal of a schedule or a channel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// It is gone; a schedule is a tombstone now.
    Removed,
    /// The stored version is another one; nothing is changed.
    Stale {
        /// The stored version.
        actual: u64,
    },
    /// The owner has none of that id.
    Missing,
}

/// What [`PreferenceStore::put`](crate::PreferenceStore::put) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The preferences are stored.
    Stored,
    /// The stored version is another one; nothing is changed.
    Stale,
}

/// What is stored under the id of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredSchedule {
    /// A schedule.
    Live(Schedule),
    /// A removed schedule, kept until its job is known to be gone.
    Tombstone,
}

/// What [`ScheduleStore::mark_synced`](crate::ScheduleStore::mark_synced) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMark {
    /// The version is the stored one: in sync.
    Current,
    /// The stored version is another one, or there is none: look again.
    Changed,
}

/// A valid notification that has no sequence number yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// See [`Notification::id`].
    pub id: NotificationId,
    /// See [`Notification::user_id`].
    pub user_id: UserId,
    /// See [`Notification::title`].
    pub title: String,
    /// See [`Notification::body`].
    pub body: String,
    /// See [`Notification::topic`].
    pub topic: Option<String>,
    /// See [`Notification::urgent`].
    pub urgent: bool,
    /// See [`Notification::created_at`].
    pub created_at: Timestamp,
    /// By which ways it reaches its user, and when.
    pub dispatch: Dispatch,
}

impl Draft {
    /// The notification that this becomes under a sequence number.
    #[must_use]
    pub fn numbered(&self, seq: u64, occurrence: Option<Occurrence>) -> Notification {
        Notification {
            id: self.id,
            seq,
            user_id: self.user_id,
            title: self.title.clone(),
            body: self.body.clone(),
            topic: self.topic.clone(),
            urgent: self.urgent,
            schedule_id: occurrence.map(|occurrence| occurrence.schedule_id),
            scheduled_for: occurrence.map(|occurrence| occurrence.scheduled_for),
            created_at: self.created_at,
            read_at: None,
        }
    }
}

/// The right to publish once under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyClaim {
    /// Whose key it is: keys of two callers never meet.
    pub caller: UserId,
    /// The key that the caller chose.
    pub key: String,
    /// The SHA-256 of what is published.
    pub body_hash: [u8; 32],
    /// When the key may be used for something else.
    pub expires_at: Timestamp,
}

/// What [`NotificationStore::publish`](crate::NotificationStore::publish) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The notification is stored.
    Stored(Notification),
    /// The same was published under this key before; this is what it became then.
    Replayed(Notification),
    /// Something else was published under this key; nothing is stored.
    KeyReused,
}

/// What [`NotificationStore::fire`](crate::NotificationStore::fire) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FireOutcome {
    /// The notification is stored.
    Stored(Notification),
    /// The occurrence was stored before; nothing is stored now.
    AlreadyStored,
    /// The schedule is paused or gone; nothing is stored.
    NotEnabled,
}

/// Which notifications are wanted, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationQuery {
    /// Where to start, and in which direction to go on.
    pub order: Order,
    /// Whether only unread ones are wanted.
    pub unread: bool,
    /// How many at most.
    pub limit: u32,
}

/// The direction of a list of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the newest back, below a sequence number if one is given.
    NewestFirst {
        /// The sequence number above the first one wanted.
        before: Option<u64>,
    },
    /// Forward, above a sequence number.
    OldestFirst {
        /// The sequence number below the first one wanted.
        after: u64,
    },
}

/// One user's events, claimed to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxClaim {
    /// Whose events these are.
    pub user_id: UserId,
    /// Which claim of this user it is: a later claim makes it void.
    pub number: u64,
    /// How many claims before this one ended in [`Settlement::RetryAt`], in a row.
    pub failures: u32,
    /// The epoch of the log.
    pub epoch: String,
    /// The next events to push, oldest first; empty if they are gone.
    pub events: Vec<UserEvent>,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// No push failed; events that were not pushed, of the claim or later ones, wait in line
    /// again.
    Pushed {
        /// The offset of the last event that was pushed, if any was.
        pushed: Option<u64>,
        /// Since when the others wait.
        at: Timestamp,
    },
    /// A push failed; the rest is pending again later.
    RetryAt {
        /// The offset of the last event that was pushed, if any was.
        pushed: Option<u64>,
        /// When to try the next one.
        at: Timestamp,
    },
}

impl IdempotencyClaim {
    /// The hash by which two publications are known to be the same.
    #[must_use]
    pub fn hash(new: &NewNotification) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(new.user_id.uuid().as_bytes());
        for text in [Some(&new.title), Some(&new.body), new.topic.as_ref()] {
            // The length tells where a text ends, and an absent one from an empty one.
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            hasher.update(length.to_be_bytes());
            hasher.update(text.map_or("", String::as_str));
        }
        hasher.update([u8::from(new.urgent)]);
        let channels = new.channels.as_deref();
        hasher.update(
            channels
                .map_or(u64::MAX, |names| names.len() as u64)
                .to_be_bytes(),
        );
        for name in channels.unwrap_or_default() {
            hasher.update((name.len() as u64).to_be_bytes());
            hasher.update(name);
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn hash_tells_every_field_apart() {
        let base = NewNotification {
            user_id: UserId::new(Uuid::from_u128(1)),
            title: "ab".into(),
            body: "c".into(),
            topic: None,
            urgent: false,
            channels: None,
        };
        let channels = |names: &[&str]| NewNotification {
            channels: Some(names.iter().map(ToString::to_string).collect()),
            ..base.clone()
        };
        let variants = [
            base.clone(),
            NewNotification {
                user_id: UserId::new(Uuid::from_u128(2)),
                ..base.clone()
            },
            NewNotification {
                title: "a".into(),
                body: "bc".into(),
                ..base.clone()
            },
            NewNotification {
                topic: Some(String::new()),
                ..base.clone()
            },
            NewNotification {
                topic: Some("t".into()),
                ..base.clone()
            },
            NewNotification {
                urgent: true,
                ..base.clone()
            },
            channels(&[]),
            channels(&["ws"]),
            channels(&["ws", "email"]),
            channels(&["wse", "mail"]),
        ];
        let hashes: HashSet<_> = variants.iter().map(IdempotencyClaim::hash).collect();
        assert_eq!(hashes.len(), variants.len());
        assert_eq!(
            IdempotencyClaim::hash(&base),
            IdempotencyClaim::hash(&base.clone())
        );
    }
}
