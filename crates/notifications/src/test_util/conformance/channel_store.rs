use super::Examples;
use crate::{
    Channel, ChannelId, ChannelStore, ChannelTarget, IdSource, InsertOutcome, PortError,
    RemoveOutcome, Secret, StoredChannel, UpdateOutcome, UserId,
};

/// What every [`ChannelStore`] must do.
///
/// # Errors
///
/// Those of the store.
///
/// # Panics
///
/// If the store does something else.
pub async fn channels(store: &dyn ChannelStore, ids: &dyn IdSource) -> Result<(), PortError> {
    let examples = Examples::new(ids);
    let (user, other) = (examples.user(), examples.user());
    let (webhook, email) = (examples.webhook(user), examples.email(user));
    for channel in [&webhook, &email] {
        let outcome = store.insert(channel, 2).await?;
        assert_eq!(outcome, InsertOutcome::Inserted);
    }
    let third = store.insert(&examples.email(user), 2).await?;
    assert_eq!(third, InsertOutcome::LimitReached);
    assert!(store.insert(&webhook, 9).await.is_err(), "the id is taken");
    let of_other = examples.webhook(other);
    assert_eq!(store.insert(&of_other, 2).await?, InsertOutcome::Inserted);

    let id = webhook.channel.id;
    assert_eq!(store.get(user, id).await?.as_ref(), Some(&webhook));
    assert_eq!(
        store.get(user, email.channel.id).await?.as_ref(),
        Some(&email)
    );
    assert_eq!(store.get(other, id).await?, None);
    let both = [webhook.channel.clone(), email.channel.clone()];
    assert_eq!(store.list(user, None, 9).await?, both);
    assert_eq!(store.list(user, None, 1).await?, both[..1]);
    assert_eq!(store.list(user, Some(id), 9).await?, both[1..]);

    updates_are_versioned(store, &examples, &webhook, other).await?;

    let stale = store.remove(user, id, Some(1), examples.now).await?;
    assert_eq!(stale, RemoveOutcome::Stale { actual: 2 });
    let foreign = store.remove(other, id, None, examples.now).await?;
    assert_eq!(foreign, RemoveOutcome::Missing);
    let removed = store.remove(user, id, Some(2), examples.now).await?;
    assert_eq!(removed, RemoveOutcome::Removed);
    assert_eq!(store.get(user, id).await?, None);
    let again = store.remove(user, id, None, examples.now).await?;
    assert_eq!(again, RemoveOutcome::Missing);
    // There is room again.
    let room = store.insert(&examples.email(user), 2).await?;
    assert_eq!(room, InsertOutcome::Inserted);
    Ok(())
}

async fn updates_are_versioned(
    store: &dyn ChannelStore,
    examples: &Examples<'_>,
    webhook: &StoredChannel,
    other: UserId,
) -> Result<(), PortError> {
    let (user, id) = (webhook.channel.user_id, webhook.channel.id);
    let mut changed = webhook.clone();
    changed.secret = Some(Secret::new("another".into()));
    changed.channel.version = 2;
    changed.channel.name = "Renamed".into();
    changed.channel.enabled = false;
    changed.channel.updated_at = examples.at(5);
    assert_eq!(store.update(&changed, 1).await?, UpdateOutcome::Updated);
    assert_eq!(store.get(user, id).await?.as_ref(), Some(&changed));
    let stale = store.update(&changed, 1).await?;
    assert_eq!(stale, UpdateOutcome::Stale { actual: 2 });
    let mut foreign = changed.clone();
    foreign.channel.user_id = other;
    assert_eq!(store.update(&foreign, 2).await?, UpdateOutcome::Missing);
    assert_eq!(store.get(user, id).await?, Some(changed));
    Ok(())
}

impl Examples<'_> {
    pub(super) fn webhook(&self, user: UserId) -> StoredChannel {
        let url = "https://hooks.example/é?a=1".into();
        let target = ChannelTarget::Webhook { url };
        self.channel(user, target, Some(Secret::new("secret".into())))
    }

    pub(super) fn email(&self, user: UserId) -> StoredChannel {
        let address = "ann@example.org".into();
        self.channel(user, ChannelTarget::Email { address }, None)
    }

    fn channel(
        &self,
        user: UserId,
        target: ChannelTarget,
        secret: Option<Secret>,
    ) -> StoredChannel {
        StoredChannel {
            channel: Channel {
                id: ChannelId::new(self.ids.next_id()),
                version: 1,
                user_id: user,
                name: "My \"place\" ☕".into(),
                target,
                enabled: true,
                created_at: self.now,
                updated_at: self.now,
            },
            secret,
        }
    }
}
