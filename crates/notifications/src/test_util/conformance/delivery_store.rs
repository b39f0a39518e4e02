use super::{Examples, notification_store::publish};
use crate::{
    ChannelClaim, ChannelKind, ChannelStore, Delivery, DeliveryBacklog, DeliveryQuery,
    DeliveryState, DeliveryStore, DeliveryVerdict, Dispatch, Draft, IdSource, NotificationStore,
    PortError, RetryOutcome, StoredChannel, UserId,
};

/// The stores over the same rows.
struct Stores<'a> {
    notifications: &'a dyn NotificationStore,
    channels: &'a dyn ChannelStore,
    deliveries: &'a dyn DeliveryStore,
    examples: Examples<'a>,
}

/// What every [`DeliveryStore`] must do, beside the other stores over the same rows.
///
/// Nothing may be due when it begins.
///
/// # Errors
///
/// Those of the stores.
///
/// # Panics
///
/// If a store does something else.
pub async fn deliveries(
    notifications: &dyn NotificationStore,
    channels: &dyn ChannelStore,
    deliveries: &dyn DeliveryStore,
    ids: &dyn IdSource,
) -> Result<(), PortError> {
    let stores = Stores {
        notifications,
        channels,
        deliveries,
        examples: Examples::new(ids),
    };
    let before = deliveries.backlog().await?;
    assert_eq!((before.pending, before.oldest_due), (0, None));
    stores
        .notification_goes_to_the_channels_of_its_kinds()
        .await?;
    stores.channel_is_claimed_by_one_at_a_time().await?;
    stores.verdicts_are_stored_and_fenced().await?;
    stores.what_is_due_later_waits().await?;
    stores.disabled_and_deleted_channels_cancel().await?;
    stores.dead_letter_is_retried_by_its_owner().await?;
    stores.deleted_notification_is_none().await?;
    let after = deliveries.backlog().await?;
    assert_eq!((after.pending, after.oldest_due), (0, None));
    Ok(())
}

impl Stores<'_> {
    async fn notification_goes_to_the_channels_of_its_kinds(&self) -> Result<(), PortError> {
        let examples = &self.examples;
        let (user, other) = (examples.user(), examples.user());
        let (webhook, email) = (examples.webhook(user), examples.email(user));
        let mut disabled = examples.webhook(user);
        disabled.channel.enabled = false;
        for channel in [&webhook, &email, &disabled, &examples.webhook(other)] {
            self.channels.insert(channel, 9).await?;
        }
        let none = self.draft(user, vec![ChannelKind::Ws], 0);
        publish(self.notifications, &none).await?;
        assert_eq!(self.all(user).await?, []);

        let mut one = self.draft(user, vec![ChannelKind::Ws, ChannelKind::Webhook], 7);
        one.dispatch.digest = true;
        publish(self.notifications, &one).await?;
        let stored = self.all(user).await?;
        assert_eq!(stored.len(), 1);
        let expected = Delivery {
            id: stored[0].id,
            user_id: user,
            channel_id: webhook.channel.id,
            notification_id: one.id,
            state: DeliveryState::Pending,
            digest: true,
            urgent: true,
            available_at: examples.at(7),
            attempts: 0,
            last_error: None,
            created_at: examples.now,
            finished_at: None,
        };
        assert_eq!(stored[0], expected);
        assert_eq!(stored[0].id.uuid().get_version_num(), 7);

        let both = vec![ChannelKind::Webhook, ChannelKind::Email];
        publish(self.notifications, &self.draft(user, both, 8)).await?;
        let stored = self.all(user).await?;
        assert_eq!(stored.len(), 3);
        assert!(stored.is_sorted_by(|newer, older| newer.id > older.id));
        let backlog = self.deliveries.backlog().await?;
        let oldest_due = Some(examples.at(7));
        assert_eq!((backlog.pending, backlog.oldest_due), (3, oldest_due));
        self.pages(user, &stored).await?;
        assert_eq!(self.all(other).await?, []);
        self.send_all(9).await
    }

    async fn pages(&self, user: UserId, stored: &[Delivery]) -> Result<(), PortError> {
        let mut query = DeliveryQuery {
            state: Some(DeliveryState::Pending),
            before: None,
            limit: 2,
        };
        assert_eq!(self.deliveries.list(user, query).await?, stored[..2]);
        query.before = Some(stored[1].id);
        assert_eq!(self.deliveries.list(user, query).await?, stored[2..]);
        query.state = Some(DeliveryState::Dead);
        assert_eq!(self.deliveries.list(user, query).await?, []);
        query.state = None;
        assert_eq!(self.deliveries.list(user, query).await?, stored[2..]);
        Ok(())
    }

    async fn channel_is_claimed_by_one_at_a_time(&self) -> Result<(), PortError> {
        let examples = &self.examples;
        let (first, second) = (self.webhook().await?, self.webhook().await?);
        for (channel, at) in [(&second, 2), (&first, 1), (&first, 3)] {
            self.publish(channel, at).await?;
        }
        assert_eq!(self.claim(0, 30, 9).await?, []);
        let claims = self.claim(3, 30, 9).await?;
        let channels: Vec<_> = claims.iter().map(|claim| &claim.channel).collect();
        assert_eq!(channels, [&first, &second], "the longest waiting first");
        assert_eq!(claims[0].deliveries.len(), 2);
        let due = &claims[0].deliveries[0];
        assert_eq!(due.pending_since, examples.at(1));
        let notification = due.notification.as_ref();
        let id = notification.map(|notification| notification.id);
        assert_eq!(id, Some(due.delivery.notification_id));

        assert_eq!(self.claim(4, 31, 9).await?, [], "all are held");
        self.deliveries.give_back(&claims[1]).await?;
        let again = self.claim(5, 35, 9).await?;
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].channel, second);

        // A claim ends with its lease, and a later one makes it void.
        let later = self.claim(30, 60, 1).await?;
        assert_eq!(later.len(), 1);
        assert_eq!(later[0].channel, first);
        let verdicts = [sent(&claims[0], 0, examples)];
        let settle = self
            .deliveries
            .settle(&claims[0], &verdicts, examples.at(31));
        assert!(!settle.await?);
        self.deliveries.give_back(&claims[0]).await?;
        assert_eq!(self.claim(32, 62, 9).await?, [], "the later claim holds");

        assert_eq!(self.deliveries.release().await?, 2);
        let verdicts = [sent(&later[0], 0, examples)];
        let settle = self
            .deliveries
            .settle(&later[0], &verdicts, examples.at(33));
        assert!(!settle.await?);
        self.send_all(34).await
    }

    async fn verdicts_are_stored_and_fenced(&self) -> Result<(), PortError> {
        let examples = &self.examples;
        let channel = self.webhook().await?;
        for at in 1..=4 {
            self.publish(&channel, at).await?;
        }
        let claims = self.claim(9, 69, 9).await?;
        let claim = &claims[0];
        let verdict = |index: usize, state, at, error: Option<&str>| DeliveryVerdict {
            id: claim.deliveries[index].delivery.id,
            state,
            attempts: 3,
            available_at: examples.at(at),
            error: error.map(str::to_owned),
        };
        let verdicts = [
            verdict(0, DeliveryState::Sent, 9, None),
            verdict(1, DeliveryState::Dead, 9, Some("410 Gone")),
            verdict(2, DeliveryState::Pending, 40, Some("503")),
        ];
        let settle = self.deliveries.settle(claim, &verdicts, examples.at(10));
        assert!(settle.await?);
        let stored = self.all(channel.channel.user_id).await?;
        let seen: Vec<_> = stored
            .iter()
            .rev()
            .map(|it| {
                (
                    it.state,
                    it.attempts,
                    it.last_error.as_deref(),
                    it.finished_at,
                )
            })
            .collect();
        let done = Some(examples.at(10));
        assert_eq!(
            seen,
            [
                (DeliveryState::Sent, 3, None, done),
                (DeliveryState::Dead, 3, Some("410 Gone"), done),
                (DeliveryState::Pending, 3, Some("503"), None),
                (DeliveryState::Pending, 0, None, None),
            ]
        );
        // What is no longer pending stays as it is.
        let late = [verdict(0, DeliveryState::Dead, 9, Some("late"))];
        assert!(
            self.deliveries
                .settle(claim, &late, examples.at(11))
                .await?
        );
        let stored = self.all(channel.channel.user_id).await?;
        assert_eq!(stored[3].state, DeliveryState::Sent);

        self.deliveries.give_back(claim).await?;
        let rest = self.claim(12, 72, 9).await?;
        assert_eq!(rest[0].deliveries.len(), 1, "the one without a verdict");
        self.deliveries.give_back(&rest[0]).await?;
        self.send_all(41).await
    }

    async fn what_is_due_later_waits(&self) -> Result<(), PortError> {
        let channel = self.webhook().await?;
        self.publish(&channel, 5).await?;
        let claims = self.claim(5, 65, 9).await?;
        assert_eq!(claims.len(), 1);
        // What comes during a claim is due after it.
        self.publish(&channel, 6).await?;
        self.publish(&channel, 50).await?;
        let verdicts = [sent(&claims[0], 0, &self.examples)];
        let at = self.examples.at(6);
        assert!(self.deliveries.settle(&claims[0], &verdicts, at).await?);
        self.deliveries.give_back(&claims[0]).await?;
        let claims = self.claim(7, 67, 9).await?;
        assert_eq!(claims[0].deliveries.len(), 1);
        let verdicts = [sent(&claims[0], 0, &self.examples)];
        assert!(self.deliveries.settle(&claims[0], &verdicts, at).await?);
        self.deliveries.give_back(&claims[0]).await?;
        assert_eq!(self.claim(49, 99, 9).await?, []);
        self.send_all(50).await
    }

    async fn disabled_and_deleted_channels_cancel(&self) -> Result<(), PortError> {
        let examples = &self.examples;
        let mut channel = self.webhook().await?;
        let (user, id) = (channel.channel.user_id, channel.channel.id);
        self.publish(&channel, 1).await?;
        let held = self.claim(1, 61, 9).await?;
        channel.channel.version = 2;
        channel.channel.enabled = false;
        channel.channel.updated_at = examples.at(2);
        self.channels.update(&channel, 1).await?;
        let verdicts = [sent(&held[0], 0, examples)];
        let settle = self.deliveries.settle(&held[0], &verdicts, examples.at(3));
        assert!(!settle.await?);
        channel.channel.version = 3;
        channel.channel.enabled = true;
        self.channels.update(&channel, 2).await?;
        assert_eq!(self.claim(4, 64, 9).await?, []);
        self.publish(&channel, 5).await?;
        self.channels.remove(user, id, None, examples.at(6)).await?;
        assert_eq!(self.claim(7, 67, 9).await?, []);
        let stored = self.all(user).await?;
        let seen = stored.iter().map(|it| (it.state, it.finished_at));
        let cancelled = |at| (DeliveryState::Cancelled, Some(examples.at(at)));
        assert!(seen.eq([cancelled(6), cancelled(2)]));
        assert!(stored.iter().all(|it| it.last_error.is_some()));
        let retry = self
            .deliveries
            .retry(Some(user), stored[0].id, examples.now);
        assert_eq!(
            retry.await?,
            RetryOutcome::NotDead(DeliveryState::Cancelled)
        );
        Ok(())
    }

    async fn dead_letter_is_retried_by_its_owner(&self) -> Result<(), PortError> {
        let examples = &self.examples;
        let channel = self.webhook().await?;
        let (user, other) = (channel.channel.user_id, examples.user());
        self.publish(&channel, 1).await?;
        let dead_before = self.deliveries.backlog().await?.dead;
        let claims = self.claim(1, 61, 9).await?;
        let mut verdict = sent(&claims[0], 0, examples);
        verdict.state = DeliveryState::Dead;
        verdict.error = Some("410 Gone".into());
        let id = verdict.id;
        self.deliveries
            .settle(&claims[0], &[verdict], examples.at(2))
            .await?;
        self.deliveries.give_back(&claims[0]).await?;
        let DeliveryBacklog { dead, .. } = self.deliveries.backlog().await?;
        assert_eq!(dead, dead_before + 1);

        let retry = |owner, id| self.deliveries.retry(owner, id, examples.at(5));
        assert_eq!(retry(Some(other), id).await?, RetryOutcome::Missing);
        let unknown = crate::DeliveryId::new(examples.ids.next_id());
        assert_eq!(retry(None, unknown).await?, RetryOutcome::Missing);
        let retried = retry(Some(user), id).await?;
        let RetryOutcome::Pending(delivery) = &retried else {
            panic!("{retried:?} is not pending");
        };
        assert_eq!(delivery.state, DeliveryState::Pending);
        assert_eq!((delivery.attempts, delivery.finished_at), (0, None));
        assert_eq!(delivery.available_at, examples.at(5));
        assert_eq!(retry(None, id).await?, retried, "twice is once");
        let claims = self.claim(5, 65, 9).await?;
        assert_eq!(claims[0].deliveries[0].pending_since, examples.at(5));
        self.deliveries.give_back(&claims[0]).await?;
        self.send_all(6).await?;
        let again = retry(Some(user), id).await?;
        assert_eq!(again, RetryOutcome::NotDead(DeliveryState::Sent));
        Ok(())
    }

    async fn deleted_notification_is_none(&self) -> Result<(), PortError> {
        let channel = self.webhook().await?;
        let draft = self.publish(&channel, 1).await?;
        let user = channel.channel.user_id;
        let ids = [draft.id];
        let deleted = self.notifications.delete(user, &ids, draft.created_at);
        assert_eq!(deleted.await?, ids);
        let claims = self.claim(1, 61, 9).await?;
        assert_eq!(claims[0].deliveries[0].notification, None);
        self.deliveries.give_back(&claims[0]).await?;
        self.send_all(2).await
    }

    fn draft(&self, user: UserId, kinds: Vec<ChannelKind>, at: i64) -> Draft {
        Draft {
            dispatch: Dispatch::single(kinds, self.examples.at(at)),
            ..self.examples.draft(user)
        }
    }

    async fn webhook(&self) -> Result<StoredChannel, PortError> {
        let channel = self.examples.webhook(self.examples.user());
        self.channels.insert(&channel, 9).await?;
        Ok(channel)
    }

    async fn publish(&self, channel: &StoredChannel, at: i64) -> Result<Draft, PortError> {
        let draft = self.draft(channel.channel.user_id, vec![ChannelKind::Webhook], at);
        publish(self.notifications, &draft).await?;
        Ok(draft)
    }

    async fn claim(
        &self,
        now: i64,
        until: i64,
        channels: u32,
    ) -> Result<Vec<ChannelClaim>, PortError> {
        let (now, until) = (self.examples.at(now), self.examples.at(until));
        self.deliveries.claim(now, until, channels, 9).await
    }

    async fn all(&self, user: UserId) -> Result<Vec<Delivery>, PortError> {
        let query = DeliveryQuery {
            state: None,
            before: None,
            limit: 99,
        };
        self.deliveries.list(user, query).await
    }

    /// Ends what the check before has left.
    async fn send_all(&self, now: i64) -> Result<(), PortError> {
        for claim in self.claim(now, now + 60, 99).await? {
            let indexes = 0..claim.deliveries.len();
            let verdicts: Vec<_> = indexes
                .map(|index| sent(&claim, index, &self.examples))
                .collect();
            let at = self.examples.at(now);
            assert!(self.deliveries.settle(&claim, &verdicts, at).await?);
            self.deliveries.give_back(&claim).await?;
        }
        Ok(())
    }
}

fn sent(claim: &ChannelClaim, index: usize, examples: &Examples<'_>) -> DeliveryVerdict {
    DeliveryVerdict {
        id: claim.deliveries[index].delivery.id,
        state: DeliveryState::Sent,
        attempts: 1,
        available_at: examples.now,
        error: None,
    }
}
