use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::{Clock, SystemClock};

use crate::{
    Admission, Channel, ChannelError, ChannelId, ChannelKind, ChannelPatch, ChannelSender,
    ChannelStore, ChannelTarget, Delivery, DeliveryId, DeliveryLimits, DeliveryQuery,
    DeliveryState, DeliveryStore, IdSource, InsertOutcome, MAX_CHANNELS, Message, MessageContent,
    NewChannel, Page, PageRequest, PortError, RemoveOutcome, RetryOutcome, SecretSource, SendError,
    StoredChannel, UpdateOutcome, UserId, validation::Findings, wall,
};

/// What users do with their channels, and with what is delivered to them.
///
/// # Guarantees
///
/// - A user has at most [`MAX_CHANNELS`] channels.
/// - A webhook's secret is shown when the channel is created and when the secret is replaced, and
///   never again.
/// - What is pending on a channel is cancelled when the channel is disabled or deleted.
/// - A user sees and changes nothing of another user: what is not theirs is not found.
pub struct Channels {
    store: Arc<dyn ChannelStore>,
    deliveries: Arc<dyn DeliveryStore>,
    sender: Arc<dyn ChannelSender>,
    ids: Arc<dyn IdSource>,
    secrets: Arc<dyn SecretSource>,
    limits: Arc<DeliveryLimits>,
    clock: Arc<dyn Clock>,
}

impl Channels {
    /// Puts the service together, on the machine's clock.
    #[must_use]
    pub fn new(
        store: Arc<dyn ChannelStore>,
        deliveries: Arc<dyn DeliveryStore>,
        sender: Arc<dyn ChannelSender>,
        ids: Arc<dyn IdSource>,
        secrets: Arc<dyn SecretSource>,
        limits: Arc<DeliveryLimits>,
    ) -> Self {
        Self {
            store,
            deliveries,
            sender,
            ids,
            secrets,
            limits,
            clock: Arc::new(SystemClock),
        }
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Creates a channel; a webhook comes with its secret.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has created the channel or nothing.
    ///
    /// # Errors
    ///
    /// [`Validate`](ChannelError::Validate) with every field at fault,
    /// [`LimitReached`](ChannelError::LimitReached), [`Store`](ChannelError::Store).
    pub async fn create(
        &self,
        user: UserId,
        new: NewChannel,
    ) -> Result<StoredChannel, ChannelError> {
        let target = self.checked(&new.name, new.kind, new.url, new.address)?;
        let secret = match target.kind() {
            ChannelKind::Webhook => Some(self.secrets.next_secret()),
            ChannelKind::Email | ChannelKind::Ws => None,
        };
        let now = wall::now(&*self.clock);
        let created = StoredChannel {
            channel: Channel {
                id: ChannelId::new(self.ids.next_id()),
                version: 1,
                user_id: user,
                name: new.name,
                target,
                enabled: new.enabled,
                created_at: now,
                updated_at: now,
            },
            secret: secret.transpose().map_err(failed("make a secret"))?,
        };
        let outcome = self.store.insert(&created, MAX_CHANNELS).await;
        match outcome.map_err(failed("store a channel"))? {
            InsertOutcome::Inserted => Ok(created),
            InsertOutcome::LimitReached => Err(ChannelError::LimitReached {
                limit: MAX_CHANNELS,
            }),
        }
    }

    /// One channel of a user.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Find`](ChannelError::Find), [`Store`](ChannelError::Store).
    pub async fn get(&self, user: UserId, id: ChannelId) -> Result<Channel, ChannelError> {
        self.stored(user, id).await.map(|stored| stored.channel)
    }

    /// A page of a user's channels, oldest first.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Validate`](ChannelError::Validate) for a bad limit or cursor,
    /// [`Store`](ChannelError::Store).
    pub async fn list(
        &self,
        user: UserId,
        page: &PageRequest,
    ) -> Result<Page<Channel>, ChannelError> {
        let mut findings = Findings::default();
        let after = findings.page(page, |text| text.parse().ok());
        findings.finish().map_err(ChannelError::Validate)?;
        let found = self.store.list(user, after, page.limit + 1).await;
        let found = found.map_err(failed("list channels"))?;
        Ok(Page::cut(found, page.limit, |last| last.id.to_string()))
    }

    /// Changes a channel, if its version is `expected` where that is given.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has changed the channel or nothing.
    ///
    /// # Errors
    ///
    /// [`Validate`](ChannelError::Validate) with every field at fault,
    /// [`Find`](ChannelError::Find), [`VersionMismatch`](ChannelError::VersionMismatch), also if
    /// somebody else was faster, [`Store`](ChannelError::Store).
    pub async fn update(
        &self,
        user: UserId,
        id: ChannelId,
        patch: &ChannelPatch,
        expected: Option<u64>,
    ) -> Result<Channel, ChannelError> {
        let mut stored = self.stored(user, id).await?;
        let channel = &mut stored.channel;
        let kind = channel.target.kind();
        let same = |kind_of_text| (kind == kind_of_text).then(|| channel.target.text().to_owned());
        let url = patch.url.clone().or_else(|| same(ChannelKind::Webhook));
        let address = patch.address.clone().or_else(|| same(ChannelKind::Email));
        let name = patch.name.as_ref().unwrap_or(&channel.name).clone();
        let target = self.checked(&name, kind, url, address)?;
        (channel.name, channel.target) = (name, target);
        channel.enabled = patch.enabled.unwrap_or(channel.enabled);
        self.replace(stored, expected).await.map(|it| it.channel)
    }

    /// Gives a webhook a new secret; the old one is void at once.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has replaced the secret or not; call again.
    ///
    /// # Errors
    ///
    /// [`Find`](ChannelError::Find), [`NoSecret`](ChannelError::NoSecret),
    /// [`VersionMismatch`](ChannelError::VersionMismatch), [`Store`](ChannelError::Store).
    pub async fn rotate_secret(
        &self,
        user: UserId,
        id: ChannelId,
        expected: Option<u64>,
    ) -> Result<StoredChannel, ChannelError> {
        let mut stored = self.stored(user, id).await?;
        if stored.secret.is_none() {
            return Err(ChannelError::NoSecret { id });
        }
        let secret = self.secrets.next_secret();
        stored.secret = Some(secret.map_err(failed("make a secret"))?);
        self.replace(stored, expected).await
    }

    /// Deletes a channel, if its version is `expected` where that is given.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has deleted the channel or not.
    ///
    /// # Errors
    ///
    /// [`Find`](ChannelError::Find), [`VersionMismatch`](ChannelError::VersionMismatch),
    /// [`Store`](ChannelError::Store).
    pub async fn delete(
        &self,
        user: UserId,
        id: ChannelId,
        expected: Option<u64>,
    ) -> Result<(), ChannelError> {
        let now = wall::now(&*self.clock);
        let outcome = self.store.remove(user, id, expected, now).await;
        match outcome.map_err(failed("delete a channel"))? {
            RemoveOutcome::Removed => Ok(()),
            RemoveOutcome::Missing => Err(ChannelError::Find { id }),
            RemoveOutcome::Stale { actual } => Err(ChannelError::VersionMismatch {
                expected: expected.unwrap_or_default(),
                actual,
            }),
        }
    }

    /// Sends a message that says it is a test, now and once, and returns what became of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the message may have arrived. It counts among the messages that a user may get.
    ///
    /// # Errors
    ///
    /// [`Find`](ChannelError::Find), [`Store`](ChannelError::Store).
    pub async fn test(
        &self,
        user: UserId,
        id: ChannelId,
    ) -> Result<Result<(), SendError>, ChannelError> {
        let stored = self.stored(user, id).await?;
        let now = wall::now(&*self.clock);
        if let Admission::NotBefore(at) = self.limits.check(user, false, now) {
            return Ok(Err(SendError::Busy {
                cause: "you have got as many messages as an hour allows".to_owned(),
                retry_after: Duration::try_from(at.duration_since(now)).ok(),
            }));
        }
        let message = Message {
            id: DeliveryId::new(self.ids.next_id()),
            content: MessageContent::Test,
        };
        Ok(self.sender.send(&stored, &message).await)
    }

    /// A page of a user's deliveries, newest first.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    ///
    /// # Errors
    ///
    /// [`Validate`](ChannelError::Validate) for a bad limit or cursor,
    /// [`Store`](ChannelError::Store).
    pub async fn deliveries(
        &self,
        user: UserId,
        page: &PageRequest,
        state: Option<DeliveryState>,
    ) -> Result<Page<Delivery>, ChannelError> {
        let mut findings = Findings::default();
        let before = findings.page(page, |text| text.parse().ok());
        findings.finish().map_err(ChannelError::Validate)?;
        let query = DeliveryQuery {
            state,
            before,
            limit: page.limit + 1,
        };
        let found = self.deliveries.list(user, query).await;
        let found = found.map_err(failed("list deliveries"))?;
        Ok(Page::cut(found, page.limit, |last| last.id.to_string()))
    }

    /// Lets a dead letter be sent again, with all its attempts before it; only one of `owner`
    /// where that is given. One that is pending already is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is pending or not; call again.
    ///
    /// # Errors
    ///
    /// [`FindDelivery`](ChannelError::FindDelivery), [`NotDead`](ChannelError::NotDead),
    /// [`NoChannel`](ChannelError::NoChannel), [`Store`](ChannelError::Store).
    pub async fn retry(
        &self,
        owner: Option<UserId>,
        id: DeliveryId,
    ) -> Result<Delivery, ChannelError> {
        let now = wall::now(&*self.clock);
        let outcome = self.deliveries.retry(owner, id, now).await;
        match outcome.map_err(failed("retry a delivery"))? {
            RetryOutcome::Pending(delivery) => Ok(delivery),
            RetryOutcome::NotDead(state) => Err(ChannelError::NotDead { id, state }),
            RetryOutcome::NoChannel => Err(ChannelError::NoChannel { id }),
            RetryOutcome::Missing => Err(ChannelError::FindDelivery { id }),
        }
    }

    async fn stored(&self, user: UserId, id: ChannelId) -> Result<StoredChannel, ChannelError> {
        let found = self.store.get(user, id).await;
        let found = found.map_err(failed("read a channel"))?;
        found.ok_or(ChannelError::Find { id })
    }

    /// Stores the next version of a channel that was read before.
    async fn replace(
        &self,
        mut stored: StoredChannel,
        expected: Option<u64>,
    ) -> Result<StoredChannel, ChannelError> {
        let channel = &mut stored.channel;
        let (id, read) = (channel.id, channel.version);
        if let Some(expected) = expected.filter(|expected| *expected != read) {
            let actual = read;
            return Err(ChannelError::VersionMismatch { expected, actual });
        }
        channel.version += 1;
        channel.updated_at = wall::now(&*self.clock);
        let outcome = self.store.update(&stored, read).await;
        match outcome.map_err(failed("change a channel"))? {
            UpdateOutcome::Updated => Ok(stored),
            UpdateOutcome::Missing => Err(ChannelError::Find { id }),
            UpdateOutcome::Stale { actual } => Err(ChannelError::VersionMismatch {
                expected: read,
                actual,
            }),
        }
    }

    /// The target, if everything is as it should be.
    fn checked(
        &self,
        name: &str,
        kind: ChannelKind,
        url: Option<String>,
        address: Option<String>,
    ) -> Result<ChannelTarget, ChannelError> {
        let mut findings = Findings::default();
        findings.channel_name(name);
        let (needed, other) = match kind {
            ChannelKind::Email => (("/address", address), ("/url", url)),
            ChannelKind::Webhook | ChannelKind::Ws => (("/url", url), ("/address", address)),
        };
        if other.1.is_some() {
            findings.add(
                other.0,
                format!("does not go with the kind {}", kind.name()),
            );
        }
        let target = needed.1.and_then(|text| ChannelTarget::new(kind, text));
        match &target {
            _ if kind == ChannelKind::Ws => {
                let detail = "must be webhook or email; live clients need no channel";
                findings.add("/kind", detail);
            }
            None => findings.add(needed.0, format!("is needed with the kind {}", kind.name())),
            Some(target) => {
                findings.target(needed.0, target.text());
                if let Err(error) = self.sender.check(target) {
                    findings.add(error.pointer, error.detail);
                }
            }
        }
        findings.finish_with(target).map_err(ChannelError::Validate)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").finish_non_exhaustive()
    }
}

fn failed(operation: &'static str) -> impl Fn(PortError) -> ChannelError {
    move |source| ChannelError::Store { operation, source }
}
