use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::AsyncLock;

use crate::{
    ChannelKind, Dispatch, Draft, EventPage, FireOutcome, IdSource, IdempotencyClaim,
    NewNotification, Notification, NotificationError, NotificationId, NotificationQuery,
    NotificationStore, Occurrence, Order, OutboxSignal, Page, PageRequest, PortError,
    PreferenceStore, Preferences, PublishOutcome, Schedule, UserId, Users, template,
    validation::Findings, wall,
};

/// How long an idempotency key stands for what was published under it.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// How many notifications one transaction of [`Notifications::mark_all_read`] takes.
const READ_ALL_BATCH: u32 = 500;

/// Stores notifications and what their users do with them.
///
/// # Guarantees
///
/// - An occurrence of a schedule is stored once, however often it fires, in however many
///   processes.
/// - A publication with an idempotency key is stored once within [`IDEMPOTENCY_WINDOW`].
/// - `seq` grows by one per user, without gaps.
/// - What changes a user's notifications is in the user's event log as soon as it is stored, and
///   reaches the live push at least once.
/// - A user sees and changes nothing of another user: what is not theirs is not found.
pub struct Notifications {
    store: Arc<dyn NotificationStore>,
    users: Arc<dyn Users>,
    preferences: Option<Arc<dyn PreferenceStore>>,
    ids: Arc<dyn IdSource>,
    clock: Arc<dyn Clock>,
    signal: OutboxSignal,
    /// Keys whose publication is under way in this process.
    in_flight: AsyncLock<(UserId, String)>,
}

/// Which notifications [`Notifications::list`] returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListNotifications {
    /// Which page. Its cursor goes on where the page before ended and overrules `after_seq`.
    pub page: PageRequest,
    /// Only those with higher sequence numbers, oldest first; newest first without it.
    pub after_seq: Option<u64>,
    /// Only unread ones.
    pub unread: bool,
}

impl Notifications {
    /// Puts the service together, on the machine's clock.
    ///
    /// `signal` is raised after each change; give the same one to the
    /// [`OutboxRelay`](crate::OutboxRelay).
    #[must_use]
    pub fn new(
        store: Arc<dyn NotificationStore>,
        users: Arc<dyn Users>,
        ids: Arc<dyn IdSource>,
        signal: OutboxSignal,
    ) -> Self {
        Self {
            store,
            users,
            preferences: None,
            ids,
            signal,
            clock: Arc::new(SystemClock),
            in_flight: AsyncLock::builder()
                .name("publications of a key")
                .build()
                .unwrap_or_default(),
        }
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Has deliveries follow the preferences of their users; without it, everybody's are
    /// [`Preferences::unset`].
    #[must_use]
    pub fn with_preferences(mut self, preferences: Arc<dyn PreferenceStore>) -> Self {
        self.preferences = Some(preferences);
        self
    }

    /// Stores a notification that a program sends, once for each key that `caller` gives.
    ///
    /// The same key with the same content within [`IDEMPOTENCY_WINDOW`] answers with the
    /// notification as it was stored the first time.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has stored everything or nothing; call again with the same key to find out.
    ///
    /// # Errors
    ///
    /// [`Validate`](NotificationError::Validate) with every field at fault, the receiver among
    /// them; [`KeyReused`](NotificationError::KeyReused) for other content under the same key;
    /// [`InFlight`](NotificationError::InFlight) while this process handles the same key;
    /// [`Store`](NotificationError::Store).
    pub async fn publish(
        &self,
        caller: UserId,
        new: NewNotification,
        key: Option<&str>,
    ) -> Result<Notification, NotificationError> {
        let kinds = self.validate(&new, key).await?;
        let _in_flight = match key {
            Some(key) => Some(
                self.in_flight
                    .try_lock((caller, key.to_owned()))
                    .map_err(|_| NotificationError::InFlight)?,
            ),
            None => None,
        };

        let now = wall::now(&*self.clock);
        let claim = key.map(|key| IdempotencyClaim {
            caller,
            key: key.to_owned(),
            body_hash: IdempotencyClaim::hash(&new),
            expires_at: wall::after(now, IDEMPOTENCY_WINDOW),
        });
        let dispatch = self.dispatch(new.user_id, kinds, now, new.urgent).await?;
        let draft = Draft {
            id: NotificationId::new(self.ids.next_id()),
            user_id: new.user_id,
            title: new.title,
            body: new.body,
            topic: new.topic,
            urgent: new.urgent,
            created_at: now,
            dispatch,
        };
        let outcome = self.store.publish(&draft, claim.as_ref()).await;
        match outcome.map_err(failed("store a notification"))? {
            PublishOutcome::Stored(notification) => {
                self.signal.raise();
                Ok(notification)
            }
            PublishOutcome::Replayed(notification) => Ok(notification),
            PublishOutcome::KeyReused => Err(NotificationError::KeyReused),
        }
    }

    /// Stores the notification of a schedule that fired for an instant, once, with the
    /// placeholders of its title and its text filled in.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has stored everything or nothing; call again to make sure.
    ///
    /// # Errors
    ///
    /// [`Store`](NotificationError::Store).
    pub async fn fire(
        &self,
        schedule: &Schedule,
        scheduled_for: Timestamp,
    ) -> Result<FireOutcome, NotificationError> {
        let now = wall::now(&*self.clock);
        let kinds = Some(schedule.channels.clone());
        let dispatch = self.dispatch(schedule.user_id, kinds, now, false).await?;
        let (title, body) = template::title_and_body(schedule, scheduled_for);
        let draft = Draft {
            id: NotificationId::new(self.ids.next_id()),
            user_id: schedule.user_id,
            title,
            body,
            topic: None,
            urgent: false,
            created_at: now,
            dispatch,
        };
        let occurrence = Occurrence {
            schedule_id: schedule.id,
            scheduled_for,
        };
        let outcome = self.store.fire(&draft, occurrence).await;
        let outcome = outcome.map_err(failed("store an occurrence"))?;
        if let FireOutcome::Stored(_) = outcome {
            self.signal.raise();
        }
        Ok(outcome)
    }

    /// One notification of a user.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Find`](NotificationError::Find), [`Store`](NotificationError::Store).
    pub async fn get(
        &self,
        user: UserId,
        id: NotificationId,
    ) -> Result<Notification, NotificationError> {
        let found = self.store.get(user, id).await;
        let found = found.map_err(failed("read a notification"))?;
        found.ok_or(NotificationError::Find { id })
    }

    /// A page of a user's notifications: the newest first, or forward from `after_seq`.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Validate`](NotificationError::Validate) for a bad limit or cursor,
    /// [`Store`](NotificationError::Store).
    pub async fn list(
        &self,
        user: UserId,
        request: &ListNotifications,
    ) -> Result<Page<Notification>, NotificationError> {
        let mut findings = Findings::default();
        let cursor = findings.page(&request.page, cursor_to_order);
        findings.finish().map_err(NotificationError::Validate)?;

        let start = request
            .after_seq
            .map_or(Order::NewestFirst { before: None }, |after| {
                Order::OldestFirst { after }
            });
        let query = NotificationQuery {
            order: cursor.unwrap_or(start),
            unread: request.unread,
            limit: request.page.limit + 1,
        };
        let found = self.store.list(user, query).await;
        let found = found.map_err(failed("list notifications"))?;
        Ok(Page::cut(found, request.page.limit, |last| {
            match query.order {
                Order::NewestFirst { .. } => format!("before-{}", last.seq),
                Order::OldestFirst { .. } => format!("after-{}", last.seq),
            }
        }))
    }

    /// Marks notifications as read, and says which ones were unread.
    ///
    /// Ids that the user does not have are passed over.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has marked all or none; calling again is harmless.
    ///
    /// # Errors
    ///
    /// [`Validate`](NotificationError::Validate) for more than
    /// [`MAX_IDS`](crate::MAX_IDS) ids, [`Store`](NotificationError::Store).
    pub async fn mark_read(
        &self,
        user: UserId,
        ids: &[NotificationId],
    ) -> Result<Vec<NotificationId>, NotificationError> {
        check_ids(ids)?;
        let read = self
            .store
            .mark_read(user, ids, wall::now(&*self.clock))
            .await;
        Ok(self.signalled(read.map_err(failed("mark notifications as read"))?))
    }

    /// Marks every notification as read that the user has now, or up to a sequence number, and
    /// says how many were unread.
    ///
    /// It works in batches with an event each, so that no transaction and no event is large.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has marked some of them, the oldest first; call again for the rest.
    ///
    /// # Errors
    ///
    /// [`Store`](NotificationError::Store).
    pub async fn mark_all_read(
        &self,
        user: UserId,
        up_to: Option<u64>,
    ) -> Result<u64, NotificationError> {
        let up_to = match up_to {
            Some(seq) => seq,
            None => self.newest_seq(user).await?,
        };
        let mut count = 0;
        loop {
            let now = wall::now(&*self.clock);
            let read = self
                .store
                .mark_read_up_to(user, up_to, now, READ_ALL_BATCH)
                .await;
            let read = self.signalled(read.map_err(failed("mark notifications as read"))?);
            count += read.len() as u64;
            if read.len() < READ_ALL_BATCH as usize {
                return Ok(count);
            }
        }
    }

    /// Deletes notifications, and says which ones were there.
    ///
    /// Ids that the user does not have are passed over.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has deleted all or none; calling again is harmless.
    ///
    /// # Errors
    ///
    /// [`Validate`](NotificationError::Validate) for more than
    /// [`MAX_IDS`](crate::MAX_IDS) ids, [`Store`](NotificationError::Store).
    pub async fn delete(
        &self,
        user: UserId,
        ids: &[NotificationId],
    ) -> Result<Vec<NotificationId>, NotificationError> {
        check_ids(ids)?;
        let deleted = self.store.delete(user, ids, wall::now(&*self.clock)).await;
        Ok(self.signalled(deleted.map_err(failed("delete notifications"))?))
    }

    /// Up to `limit` events of a user after an offset, for a client that recovers.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Store`](NotificationError::Store).
    pub async fn events(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
    ) -> Result<EventPage, NotificationError> {
        let page = self.store.events(user, after, limit).await;
        page.map_err(failed("read a user's events"))
    }

    async fn validate(
        &self,
        new: &NewNotification,
        key: Option<&str>,
    ) -> Result<Option<Vec<ChannelKind>>, NotificationError> {
        let mut findings = Findings::default();
        let exists = self.users.exists(new.user_id).await;
        if !exists.map_err(failed("look a user up"))? {
            findings.add("/user_id", "there is no such user");
        }
        findings.title(&new.title);
        findings.body(&new.body);
        findings.topic(new.topic.as_deref());
        let kinds = new.channels.as_ref();
        let kinds = kinds.map(|names| findings.channels(names));
        findings.idempotency_key(key);
        findings.finish().map_err(NotificationError::Validate)?;
        Ok(kinds)
    }

    /// Where and when a notification is delivered. The preferences are not looked at where there
    /// is only the live push, which waits for nothing.
    async fn dispatch(
        &self,
        user: UserId,
        kinds: Option<Vec<ChannelKind>>,
        now: Timestamp,
        urgent: bool,
    ) -> Result<Dispatch, NotificationError> {
        let preferences = match &self.preferences {
            Some(store) if kinds.as_deref() != Some(&[ChannelKind::Ws]) => {
                let found = store.get(user).await;
                found.map_err(failed("read preferences"))?
            }
            _ => None,
        };
        let preferences = preferences.unwrap_or_else(Preferences::unset);
        Ok(preferences.dispatch(kinds, now, urgent))
    }

    async fn newest_seq(&self, user: UserId) -> Result<u64, NotificationError> {
        let newest = NotificationQuery {
            order: Order::NewestFirst { before: None },
            unread: false,
            limit: 1,
        };
        let found = self.store.list(user, newest).await;
        let found = found.map_err(failed("list notifications"))?;
        Ok(found.first().map_or(0, |newest| newest.seq))
    }

    /// Raises the signal if anything changed.
    fn signalled(&self, changed: Vec<NotificationId>) -> Vec<NotificationId> {
        if !changed.is_empty() {
            self.signal.raise();
        }
        changed
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").finish_non_exhaustive()
    }
}

fn failed(operation: &'static str) -> impl FnOnce(PortError) -> NotificationError {
    move |source| NotificationError::Store { operation, source }
}

fn check_ids(ids: &[NotificationId]) -> Result<(), NotificationError> {
    let mut findings = Findings::default();
    findings.ids(ids.len());
    findings.finish().map_err(NotificationError::Validate)
}

fn cursor_to_order(cursor: &str) -> Option<Order> {
    let (direction, seq) = cursor.split_once('-')?;
    let seq = seq.parse().ok()?;
    match direction {
        "before" => Some(Order::NewestFirst { before: Some(seq) }),
        "after" => Some(Order::OldestFirst { after: seq }),
        _ => None,
    }
}
