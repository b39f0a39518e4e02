//! What every store must do. Each function panics at the first thing that is not so.
//!
//! They may share a store, one after the other, for each works with users of its own; only
//! [`outbox`] and [`deliveries`] want nothing of anybody else to be pending.

mod channel_store;
mod delivery_store;
mod notification_store;
mod outbox_store;
mod preference_store;
mod schedule_store;

pub use channel_store::channels;
pub use delivery_store::deliveries;
pub use notification_store::notifications;
pub use outbox_store::outbox;
pub use preference_store::preferences;
pub use schedule_store::schedules;

use jiff::{SignedDuration, Timestamp};

use crate::{
    ChannelKind, Dialect, Dispatch, Draft, IdSource, Misfire, NotificationId, Schedule, ScheduleId,
    UserId,
};

/// What the examples are made of.
struct Examples<'a> {
    ids: &'a dyn IdSource,
    now: Timestamp,
}

impl Examples<'_> {
    fn new(ids: &dyn IdSource) -> Examples<'_> {
        let now = Timestamp::from_microsecond(1_800_000_000_123_456);
        Examples {
            ids,
            now: now.unwrap_or_default(),
        }
    }

    fn user(&self) -> UserId {
        UserId::new(self.ids.next_id())
    }

    fn at(&self, seconds: i64) -> Timestamp {
        self.now + SignedDuration::from_secs(seconds)
    }

    fn schedule(&self, user: UserId) -> Schedule {
        Schedule {
            id: ScheduleId::new(self.ids.next_id()),
            version: 1,
            user_id: user,
            cron: "0 9 * * 1-5".into(),
            dialect: Dialect::Posix5,
            tz: "Europe/Berlin".into(),
            title: "Stand-up ☕".into(),
            body: "Bring \"news\"\nand 'coffee'".into(),
            channels: vec![ChannelKind::Ws],
            misfire: Misfire::All,
            enabled: true,
            created_at: self.now,
            updated_at: self.now,
        }
    }

    fn draft(&self, user: UserId) -> Draft {
        Draft {
            id: NotificationId::new(self.ids.next_id()),
            user_id: user,
            title: "Deployed 🚀".into(),
            body: "Everything \"works\"".into(),
            topic: Some("deploys".into()),
            urgent: true,
            created_at: self.now,
            dispatch: Dispatch::single(vec![ChannelKind::Ws], self.now),
        }
    }
}
