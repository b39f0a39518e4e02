use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    Draft, EventPage, FireOutcome, IdempotencyClaim, InsertOutcome, Notification, NotificationId,
    NotificationQuery, Occurrence, OutboxClaim, PortError, Preferences, PublishOutcome, PutOutcome,
    RemoveOutcome, Schedule, ScheduleId, Settlement, StoredSchedule, SyncMark, UpdateOutcome,
    UserEvent, UserId,
};

/// Where new ids come from.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait IdSource: Send + Sync {
    /// An id that was never given out before; a UUIDv7.
    fn next_id(&self) -> Uuid;
}

/// Who exists; the accounts belong to somebody else.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Users: Send + Sync {
    /// Whether there is such a user.
    ///
    /// # Errors
    ///
    /// If the answer cannot be found out.
    async fn exists(&self, user: UserId) -> Result<bool, PortError>;
}

/// Keeps schedules.
///
/// Each call is atomic and durable when it returns. Rows of other users are as good as absent:
/// every method that takes a user finds only what that user owns.
///
/// Beside each schedule the store keeps its `synced_version`: the version that the scheduler is
/// known to have. It differs from the version after each insert, update and removal, until
/// [`mark_synced`](Self::mark_synced) or [`forget`](Self::forget).
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// Adds a schedule unless its owner has `limit` of them already.
    ///
    /// # Errors
    ///
    /// If the store fails, or a schedule with this id exists.
    async fn insert(&self, schedule: &Schedule, limit: u32) -> Result<InsertOutcome, PortError>;

    /// The schedule of that user and id.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn get(&self, user: UserId, id: ScheduleId) -> Result<Option<Schedule>, PortError>;

    /// What is stored under an id, whoever owns it, with the tombstone of a removed schedule.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn load(&self, id: ScheduleId) -> Result<Option<StoredSchedule>, PortError>;

    /// Up to `limit` schedules of a user with ids above `after`, in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn list(
        &self,
        user: UserId,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<Schedule>, PortError>;

    /// Replaces a schedule if its stored version is still `expected`.
    ///
    /// The owner, the id and the date of creation never change.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn update(&self, schedule: &Schedule, expected: u64) -> Result<UpdateOutcome, PortError>;

    /// Turns a schedule into a tombstone, if its version is `expected` where that is given.
    ///
    /// The tombstone has the next version, so that it is out of sync, and is invisible but to
    /// [`load`](Self::load) and [`out_of_sync`](Self::out_of_sync).
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn remove(
        &self,
        user: UserId,
        id: ScheduleId,
        expected: Option<u64>,
    ) -> Result<RemoveOutcome, PortError>;

    /// Up to `limit` ids above `after`, in order, of schedules and tombstones out of sync.
    ///
    /// Costs as much as there are such rows, however many schedules there are.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn out_of_sync(
        &self,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<ScheduleId>, PortError>;

    /// Notes that the scheduler now has `version` of a schedule.
    ///
    /// If that is no longer the stored version, the row is marked out of sync instead, for the
    /// scheduler may just have been given an old one.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn mark_synced(&self, id: ScheduleId, version: u64) -> Result<SyncMark, PortError>;

    /// Removes a tombstone for good; what is not a tombstone stays.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn forget(&self, id: ScheduleId) -> Result<(), PortError>;
}

/// Keeps notifications, occurrences, idempotency keys and each user's event log.
///
/// Each call is one transaction, durable when it returns. Whatever changes a user's
/// notifications appends the matching event to the log and makes it pending in the outbox *in the
/// same transaction*. Sequence numbers and offsets are given out inside of it, so they have no
/// gaps. Rows of other users are as good as absent.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait NotificationStore: Send + Sync {
    /// Stores a notification, once for each idempotency claim that has not expired.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn publish<'a>(
        &self,
        draft: &Draft,
        claim: Option<&'a IdempotencyClaim>,
    ) -> Result<PublishOutcome, PortError>;

    /// Stores a schedule's notification, once for each occurrence, if the schedule is enabled.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn fire(&self, draft: &Draft, occurrence: Occurrence) -> Result<FireOutcome, PortError>;

    /// The notification of that user and id.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn get(
        &self,
        user: UserId,
        id: NotificationId,
    ) -> Result<Option<Notification>, PortError>;

    /// Up to `query.limit` notifications of a user, in the order of the query.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn list(
        &self,
        user: UserId,
        query: NotificationQuery,
    ) -> Result<Vec<Notification>, PortError>;

    /// Marks those of `ids` as read that were unread, and says which ones these were.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn mark_read(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> Result<Vec<NotificationId>, PortError>;

    /// Marks up to `limit` unread notifications with sequence numbers up to `seq` as read, the
    /// oldest first, and says which ones these were.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn mark_read_up_to(
        &self,
        user: UserId,
        seq: u64,
        at: Timestamp,
        limit: u32,
    ) -> Result<Vec<NotificationId>, PortError>;

    /// Deletes those of `ids` that exist, and says which ones these were.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn delete(
        &self,
        user: UserId,
        ids: &[NotificationId],
        at: Timestamp,
    ) -> Result<Vec<NotificationId>, PortError>;

    /// Up to `limit` events of a user with offsets above `after`, oldest first.
    ///
    /// An event that cannot be read, because another version wrote it, is left out.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn events(&self, user: UserId, after: u64, limit: u32) -> Result<EventPage, PortError>;
}

/// Keeps the preferences of users.
///
/// Each call is atomic and durable when it returns.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PreferenceStore: Send + Sync {
    /// A user's preferences, if they ever set any.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn get(&self, user: UserId) -> Result<Option<Preferences>, PortError>;

    /// Sets a user's preferences if the stored version is still `expected`: one, if there are
    /// none.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn put(
        &self,
        user: UserId,
        preferences: &Preferences,
        expected: u64,
    ) -> Result<PutOutcome, PortError>;
}

/// Says which users have events that were not pushed yet.
///
/// A user is claimed as a whole, by one claim at a time, so that events of one user are pushed in
/// order, whoever pushes.
///
/// # Cancel safety
///
/// A call that is dropped has either happened as a whole or not at all. A claim whose answer was
/// lost ends at its `until`.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Claims up to `users` users with pending events that nobody else holds at `now`, the
    /// longest waiting first, with up to `events` of their next events each.
    ///
    /// An event that cannot be read, because another version wrote it, is logged and removed from
    /// its log, as an old one is: it keeps nobody else's events from being claimed.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        users: u32,
        events: u32,
    ) -> Result<Vec<OutboxClaim>, PortError>;

    /// Gives a claim back; nothing happens if somebody else has claimed the user since.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn settle(&self, claim: &OutboxClaim, settlement: Settlement) -> Result<(), PortError>;

    /// Makes everything that waits for a later time than `now` pending at once, makes its claims
    /// void, and says how many users that were.
    ///
    /// Right only while no relay is at work on the store: whoever held a claim is dead.
    ///
    /// # Errors
    ///
    /// If the store fails.
    async fn release(&self, now: Timestamp) -> Result<u64, PortError>;
}

/// The live way to a user's connected clients.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Push: Send + Sync {
    /// Pushes one event to the channel `user:<id>`.
    ///
    /// It may come again with the same offset, and must then be harmless. An event that fails for
    /// good is passed over: the next offset tells that one is missing.
    ///
    /// # Errors
    ///
    /// If it is unknown whether the event got on its way. A user without clients is no error.
    async fn push(&self, user: UserId, epoch: &str, event: &UserEvent) -> Result<(), PortError>;
}

/// The scheduler's jobs, one a schedule.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Makes the job of a schedule match it: present while it is enabled, absent otherwise.
    ///
    /// When this returns, no fire of an older version starts in this process any more.
    ///
    /// # Errors
    ///
    /// If the scheduler fails.
    async fn upsert(&self, schedule: &Schedule) -> Result<(), PortError>;

    /// Removes the job of a schedule, if there is one.
    ///
    /// # Errors
    ///
    /// If the scheduler fails.
    async fn remove(&self, id: ScheduleId) -> Result<(), PortError>;

    /// Fires the job of a schedule now, beside its plan.
    ///
    /// # Errors
    ///
    /// If the scheduler fails or does not know the job.
    async fn run_now(&self, id: ScheduleId) -> Result<(), PortError>;
}
