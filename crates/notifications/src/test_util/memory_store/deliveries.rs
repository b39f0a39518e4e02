use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    ChannelClaim, ChannelId, Delivery, DeliveryBacklog, DeliveryId, DeliveryQuery, DeliveryState,
    DeliveryStore, DeliveryVerdict, Draft, DueDelivery, NotificationId, PortError, RetryOutcome,
    UserId,
};

use super::{DeliveryRow, MemoryStore, State};

#[async_trait]
impl DeliveryStore for MemoryStore {
    async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        channels: u32,
        deliveries: u32,
    ) -> Result<Vec<ChannelClaim>, PortError> {
        Ok(self.with(|state| {
            let mut due = state.due_channels(now);
            due.truncate(channels as usize);
            let claim = |(_, id)| state.claim_channel(id, now, until, deliveries);
            due.into_iter().filter_map(claim).collect()
        }))
    }

    async fn settle(
        &self,
        claim: &ChannelClaim,
        verdicts: &[DeliveryVerdict],
        at: Timestamp,
    ) -> Result<bool, PortError> {
        Ok(self.with(|state| {
            if !state.holds(claim) {
                return false;
            }
            for verdict in verdicts {
                let Some(row) = state.deliveries.get_mut(&verdict.id) else {
                    continue;
                };
                let delivery = &mut row.delivery;
                if delivery.state != DeliveryState::Pending {
                    continue;
                }
                delivery.state = verdict.state;
                delivery.attempts = verdict.attempts;
                delivery.available_at = verdict.available_at;
                delivery.last_error.clone_from(&verdict.error);
                delivery.finished_at = (verdict.state != DeliveryState::Pending).then_some(at);
            }
            true
        }))
    }

    async fn give_back(&self, claim: &ChannelClaim) -> Result<(), PortError> {
        self.with(|state| {
            if state.holds(claim)
                && let Some(row) = state.channels.get_mut(&claim.channel.channel.id)
            {
                row.claimed_until = None;
            }
        });
        Ok(())
    }

    async fn release(&self) -> Result<u64, PortError> {
        Ok(self.with(|state| {
            let mut released = 0;
            for row in state.channels.values_mut() {
                if row.claimed_until.take().is_some() {
                    row.claims += 1;
                    released += 1;
                }
            }
            released
        }))
    }

    async fn list(&self, user: UserId, query: DeliveryQuery) -> Result<Vec<Delivery>, PortError> {
        Ok(self.with(|state| {
            let deliveries = state.deliveries.values().rev().map(|row| &row.delivery);
            let wanted = deliveries.filter(|delivery| {
                delivery.user_id == user
                    && query.state.is_none_or(|state| state == delivery.state)
                    && query.before.is_none_or(|before| delivery.id < before)
            });
            wanted.take(query.limit as usize).cloned().collect()
        }))
    }

    async fn retry(
        &self,
        owner: Option<UserId>,
        id: DeliveryId,
        at: Timestamp,
    ) -> Result<RetryOutcome, PortError> {
        Ok(self.with(|state| {
            let found = state.deliveries.get_mut(&id);
            let is_own = |row: &&mut DeliveryRow| owner.is_none_or(|it| it == row.delivery.user_id);
            let Some(row) = found.filter(is_own) else {
                return RetryOutcome::Missing;
            };
            match row.delivery.state {
                DeliveryState::Pending => return RetryOutcome::Pending(row.delivery.clone()),
                DeliveryState::Dead => {}
                other => return RetryOutcome::NotDead(other),
            }
            let channel = state.channels.get(&row.delivery.channel_id);
            if !channel.is_some_and(|row| row.stored.channel.enabled) {
                return RetryOutcome::NoChannel;
            }
            row.pending_since = at;
            let delivery = &mut row.delivery;
            delivery.state = DeliveryState::Pending;
            delivery.attempts = 0;
            delivery.available_at = at;
            delivery.finished_at = None;
            RetryOutcome::Pending(delivery.clone())
        }))
    }

    async fn backlog(&self) -> Result<DeliveryBacklog, PortError> {
        Ok(self.with(|state| {
            let count = |wanted| {
                let states = state.deliveries.values().map(|row| row.delivery.state);
                states.filter(|state| *state == wanted).count() as u64
            };
            let pending = state.deliveries.values().map(|row| &row.delivery);
            let pending = pending.filter(|delivery| delivery.state == DeliveryState::Pending);
            DeliveryBacklog {
                pending: count(DeliveryState::Pending),
                dead: count(DeliveryState::Dead),
                oldest_due: pending.map(|delivery| delivery.available_at).min(),
            }
        }))
    }
}

impl State {
    /// Makes the deliveries of a notification.
    pub(super) fn dispatch(&mut self, draft: &Draft) {
        let channels = self.channels.values().map(|row| &row.stored.channel);
        let wanted = channels.filter(|channel| {
            channel.user_id == draft.user_id
                && channel.enabled
                && draft.dispatch.kinds.contains(&channel.target.kind())
        });
        let wanted: Vec<ChannelId> = wanted.map(|channel| channel.id).collect();
        for channel_id in wanted {
            let delivery = Delivery {
                id: delivery_id(draft.id, self.deliveries.len()),
                user_id: draft.user_id,
                channel_id,
                notification_id: draft.id,
                state: DeliveryState::Pending,
                digest: draft.dispatch.digest,
                urgent: draft.urgent,
                available_at: draft.dispatch.at,
                attempts: 0,
                last_error: None,
                created_at: draft.created_at,
                finished_at: None,
            };
            let pending_since = draft.dispatch.at;
            let row = DeliveryRow {
                delivery,
                pending_since,
            };
            self.deliveries.insert(row.delivery.id, row);
        }
    }

    /// The channels that may be claimed, the longest waiting first.
    fn due_channels(&self, now: Timestamp) -> Vec<(Timestamp, ChannelId)> {
        let free = |row: &&super::ChannelRow| row.claimed_until.is_none_or(|until| until <= now);
        let channels = self.channels.values().filter(free);
        let mut due: Vec<_> = channels
            .filter_map(|row| {
                let id = row.stored.channel.id;
                let first = self.due(id, now).into_iter().next()?;
                Some((first.delivery.available_at, id))
            })
            .collect();
        due.sort();
        due
    }

    /// What is due on a channel, the longest waiting first.
    fn due(&self, channel: ChannelId, now: Timestamp) -> Vec<DeliveryRow> {
        let rows = self.deliveries.values().filter(|row| {
            row.delivery.channel_id == channel
                && row.delivery.state == DeliveryState::Pending
                && row.delivery.available_at <= now
        });
        let mut due: Vec<_> = rows.cloned().collect();
        due.sort_by_key(|row| (row.delivery.available_at, row.delivery.id));
        due
    }

    fn claim_channel(
        &mut self,
        id: ChannelId,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Option<ChannelClaim> {
        let due = self.due(id, now).into_iter().take(limit as usize);
        let deliveries = due.map(|row| DueDelivery {
            notification: self.notification(&row.delivery),
            pending_since: row.pending_since,
            delivery: row.delivery,
        });
        let deliveries = deliveries.collect();
        let row = self.channels.get_mut(&id)?;
        row.claims += 1;
        row.claimed_until = Some(until);
        Some(ChannelClaim {
            channel: row.stored.clone(),
            number: row.claims,
            deliveries,
        })
    }

    fn notification(&self, delivery: &Delivery) -> Option<crate::Notification> {
        let mut stored = self.logs.get(&delivery.user_id)?.notifications.values();
        let id = delivery.notification_id;
        stored.find(|notification| notification.id == id).cloned()
    }

    fn holds(&self, claim: &ChannelClaim) -> bool {
        let row = self.channels.get(&claim.channel.channel.id);
        row.is_some_and(|row| row.claims == claim.number && row.claimed_until.is_some())
    }
}

/// An id that goes with the notification's: a UUIDv7 of its time.
fn delivery_id(notification: NotificationId, number: usize) -> DeliveryId {
    let number = (number as u64).to_be_bytes();
    let mut bytes = notification.uuid().into_bytes();
    bytes[9..].copy_from_slice(&number[1..]);
    DeliveryId::new(uuid::Uuid::from_bytes(bytes))
}
