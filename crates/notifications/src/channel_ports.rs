use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use crate::{
    Channel, ChannelClaim, ChannelId, ChannelTarget, Delivery, DeliveryBacklog, DeliveryId,
    DeliveryQuery, DeliveryVerdict, FieldError, InsertOutcome, Message, PortError, RemoveOutcome,
    RetryOutcome, Secret, StoredChannel, UpdateOutcome, UserId,
};

/// Keeps the users' channels.
///
/// Each call is atomic and durable when it returns. Rows of other users are as good as absent.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait ChannelStore: Send + Sync {
    /// Adds a channel unless its owner has `limit` of them already.
    ///
    /// # Errors
    ///
    /// If the store fails, or a channel with this id exists.
    async fn insert(&self, channel: &StoredChannel, limit: u32)
    -> Result<InsertOutcome, PortError>;

    /// The channel of that user and id.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn get(&self, user: UserId, id: ChannelId) -> Result<Option<StoredChannel>, PortError>;

    /// Up to `limit` channels of a user with ids above `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn list(
        &self,
        user: UserId,
        after: Option<ChannelId>,
        limit: u32,
    ) -> Result<Vec<Channel>, PortError>;

    /// Replaces a channel if its stored version is still `expected`. If it is disabled now, what
    /// is pending on it is cancelled, and claims on it are void.
    ///
    /// The owner, the id, the kind and the date of creation never change.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn update(
        &self,
        channel: &StoredChannel,
        expected: u64,
    ) -> Result<UpdateOutcome, PortError>;

    /// Removes a channel, if its version is `expected` where that is given, and cancels what is
    /// pending on it.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn remove(
        &self,
        user: UserId,
        id: ChannelId,
        expected: Option<u64>,
        at: Timestamp,
    ) -> Result<RemoveOutcome, PortError>;
}

/// Keeps the deliveries, which a [`NotificationStore`](crate::NotificationStore) of the same
/// database makes in the transaction of their notification: one for each channel of the user that
/// is enabled and of a kind of the draft's dispatch.
///
/// A channel is claimed as a whole, by one claim at a time, so that what is due on it can go out
/// together and one slow channel takes no more than one place.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all. A claim whose answer was
/// lost ends at its `until`.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait DeliveryStore: Send + Sync {
    /// Claims up to `channels` channels with deliveries that are due at `now` and that nobody else
    /// holds, the longest waiting first, with up to `deliveries` of them each.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        channels: u32,
        deliveries: u32,
    ) -> Result<Vec<ChannelClaim>, PortError>;

    /// Stores what became of some deliveries, which keep their claim; answers false and stores
    /// nothing if the claim is void. What is no longer pending stays as it is.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn settle(
        &self,
        claim: &ChannelClaim,
        verdicts: &[DeliveryVerdict],
        at: Timestamp,
    ) -> Result<bool, PortError>;

    /// Gives a claim back, with what is still due; nothing happens if it is void.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn give_back(&self, claim: &ChannelClaim) -> Result<(), PortError>;

    /// Makes every claim void, and says how many there were.
    ///
    /// Right only while nothing is at work on the store: whoever held a claim is dead.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn release(&self) -> Result<u64, PortError>;

    /// Up to `query.limit` deliveries of a user, newest first.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn list(&self, user: UserId, query: DeliveryQuery) -> Result<Vec<Delivery>, PortError>;

    /// Makes a dead letter pending at `at`, with all its attempts before it; only one of `owner`
    /// where that is given.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn retry(
        &self,
        owner: Option<UserId>,
        id: DeliveryId,
        at: Timestamp,
    ) -> Result<RetryOutcome, PortError>;

    /// How much waits, and how much was given up; it costs as much as there is of these.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn backlog(&self) -> Result<DeliveryBacklog, PortError>;
}

/// The way to the users' channels: what it accepts as a target, and what it sends there.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait ChannelSender: Send + Sync {
    /// Looks whether it can ever send to a target, without sending anything.
    ///
    /// # Errors
    ///
    /// What is wrong with the target, and what is allowed.
    fn check(&self, target: &ChannelTarget) -> Result<(), FieldError>;

    /// What a target shares its failures with: its host, or the mail server.
    fn endpoint(&self, target: &ChannelTarget) -> String;

    /// Sends a message once, within a bounded time.
    ///
    /// # Errors
    ///
    /// If it did not arrive, or it is unknown whether it did.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the message may have arrived.
    async fn send(&self, channel: &StoredChannel, message: &Message) -> Result<(), SendError>;
}

/// Makes secrets.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait SecretSource: Send + Sync {
    /// A secret that nobody can guess.
    ///
    /// # Errors
    ///
    /// If the operating system gives no random bytes.
    fn next_secret(&self) -> Result<Secret, PortError>;
}

/// Why a message did not arrive.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// It never will.
    #[error("{cause}")]
    Refused {
        /// Why not.
        cause: String,
    },
    /// The other side answered that it does not take it now.
    #[error("{cause}")]
    Busy {
        /// What it answered.
        cause: String,
        /// After what time it wants to be asked again.
        retry_after: Option<std::time::Duration>,
    },
    /// The other side does not answer, or is broken: the next message would fare no better.
    #[error("{cause}")]
    Unreachable {
        /// What happened.
        cause: String,
    },
}
