use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{ChannelId, DeliveryId, Notification, NotificationId, StoredChannel, UserId};

/// The way of one notification to one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Names the delivery; later ones have higher ids.
    pub id: DeliveryId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where to.
    pub channel_id: ChannelId,
    /// What of.
    pub notification_id: NotificationId,
    /// How far it is.
    pub state: DeliveryState,
    /// Whether it goes out together with others that are due.
    pub digest: bool,
    /// Whether its notification is urgent.
    pub urgent: bool,
    /// Not before this it is sent, or sent again.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub available_at: Timestamp,
    /// How often it was sent without knowing that it arrived, and once more if it did.
    pub attempts: u32,
    /// Why it has not arrived, or why it is put off.
    pub last_error: Option<String>,
    /// When its notification was stored.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// Since when it is no longer pending.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub finished_at: Option<Timestamp>,
}

/// How far a [`Delivery`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DeliveryState {
    /// It will be sent.
    Pending,
    /// The other side has taken it.
    Sent,
    /// It was given up; a dead letter, which can be tried again by hand.
    Dead,
    /// Its channel or its notification is gone, or the channel is disabled.
    Cancelled,
}

/// The deliveries of one channel that are due, claimed to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelClaim {
    /// Where to.
    pub channel: StoredChannel,
    /// Which claim of this channel it is: a later claim makes it void.
    pub number: u64,
    /// What is due, the longest waiting first.
    pub deliveries: Vec<DueDelivery>,
}

/// A delivery with what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// Since when it is to be sent: its first time, or the last retry by hand.
    pub pending_since: Timestamp,
    /// The notification; `None` if it is gone.
    pub notification: Option<Notification>,
}

/// What became of a claimed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryVerdict {
    /// Which one.
    pub id: DeliveryId,
    /// Its new state.
    pub state: DeliveryState,
    /// How often it was sent by now.
    pub attempts: u32,
    /// When to send it again, if it is pending.
    pub available_at: Timestamp,
    /// Why it has not arrived.
    pub error: Option<String>,
}

/// Which of a user's deliveries are wanted, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those with lower ids.
    pub before: Option<DeliveryId>,
    /// How many at most.
    pub limit: u32,
}

/// What [`DeliveryStore::retry`](crate::DeliveryStore::retry) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryOutcome {
    /// It is pending, now or already.
    Pending(Delivery),
    /// It has arrived or was cancelled.
    NotDead(DeliveryState),
    /// Its channel is gone or disabled.
    NoChannel,
    /// There is no such delivery.
    Missing,
}

/// How much waits, and how much was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryBacklog {
    /// Pending deliveries, put-off ones among them.
    pub pending: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the longest waiting one that could be sent was due.
    pub oldest_due: Option<Timestamp>,
}

/// What is sent to a channel at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names the message: the same contents have the same id when they are sent again.
    pub id: DeliveryId,
    /// What it says.
    pub content: MessageContent,
}

/// What a [`Message`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageContent {
    /// One notification.
    Notification(Notification),
    /// What came together, oldest first.
    Digest(Vec<Notification>),
    /// That the channel works.
    Test,
}

impl DeliveryState {
    /// Every state there is.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Sent, Self::Dead, Self::Cancelled];

    /// The state's name in JSON and in a database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl Message {
    /// The id of a digest: a UUIDv8 made from those of its deliveries, so that another digest has
    /// another id.
    #[must_use]
    pub fn digest_id(deliveries: impl IntoIterator<Item = DeliveryId>) -> DeliveryId {
        let mut hasher = Sha256::new();
        for id in deliveries {
            hasher.update(id.uuid().as_bytes());
        }
        let hash: [u8; 32] = hasher.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        DeliveryId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for state in DeliveryState::ALL {
            assert_eq!(json!(state), json!(state.name()));
            assert_eq!(DeliveryState::from_name(state.name()), Some(state));
        }
        assert_eq!(DeliveryState::from_name("lost"), None);
    }

    #[test]
    fn digest_id_stands_for_its_deliveries() {
        let id = |number| DeliveryId::new(Uuid::from_u128(number));
        let digest = Message::digest_id([id(1), id(2)]);
        assert_eq!(digest, Message::digest_id([id(1), id(2)]));
        assert_ne!(digest, Message::digest_id([id(1), id(2), id(3)]));
        assert_eq!(digest.uuid().get_version_num(), 8);
    }
}
