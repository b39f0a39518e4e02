use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    Channel, ChannelId, ChannelStore, DeliveryState, InsertOutcome, PortError, RemoveOutcome,
    StoredChannel, UpdateOutcome, UserId,
};

use super::{ChannelRow, MemoryStore, State};

#[async_trait]
impl ChannelStore for MemoryStore {
    async fn insert(
        &self,
        channel: &StoredChannel,
        limit: u32,
    ) -> Result<InsertOutcome, PortError> {
        self.with(|state| {
            let user = channel.channel.user_id;
            let owned = state.channels.values();
            let owned = owned.filter(|row| row.stored.channel.user_id == user);
            if owned.count() >= limit as usize {
                return Ok(InsertOutcome::LimitReached);
            }
            if state.channels.contains_key(&channel.channel.id) {
                return Err(PortError::permanent("the id is taken"));
            }
            let row = ChannelRow {
                stored: channel.clone(),
                claims: 0,
                claimed_until: None,
            };
            state.channels.insert(channel.channel.id, row);
            Ok(InsertOutcome::Inserted)
        })
    }

    async fn get(&self, user: UserId, id: ChannelId) -> Result<Option<StoredChannel>, PortError> {
        Ok(self.with(|state| state.channel(user, id).map(|row| row.stored.clone())))
    }

    async fn list(
        &self,
        user: UserId,
        after: Option<ChannelId>,
        limit: u32,
    ) -> Result<Vec<Channel>, PortError> {
        Ok(self.with(|state| {
            let channels = state.channels.values().map(|row| &row.stored.channel);
            let own =
                channels.filter(|channel| channel.user_id == user && Some(channel.id) > after);
            own.take(limit as usize).cloned().collect()
        }))
    }

    async fn update(
        &self,
        channel: &StoredChannel,
        expected: u64,
    ) -> Result<UpdateOutcome, PortError> {
        Ok(self.with(|state| {
            let (user, id) = (channel.channel.user_id, channel.channel.id);
            let Some(row) = state.channel(user, id) else {
                return UpdateOutcome::Missing;
            };
            let actual = row.stored.channel.version;
            if actual != expected {
                return UpdateOutcome::Stale { actual };
            }
            row.stored = channel.clone();
            if !channel.channel.enabled {
                row.claims += 1;
                row.claimed_until = None;
                state.cancel(id, channel.channel.updated_at, "its channel was disabled");
            }
            UpdateOutcome::Updated
        }))
    }

    async fn remove(
        &self,
        user: UserId,
        id: ChannelId,
        expected: Option<u64>,
        at: Timestamp,
    ) -> Result<RemoveOutcome, PortError> {
        Ok(self.with(|state| {
            let Some(row) = state.channel(user, id) else {
                return RemoveOutcome::Missing;
            };
            let actual = row.stored.channel.version;
            if expected.is_some_and(|expected| expected != actual) {
                return RemoveOutcome::Stale { actual };
            }
            state.channels.remove(&id);
            state.cancel(id, at, "its channel was deleted");
            RemoveOutcome::Removed
        }))
    }
}

impl State {
    fn channel(&mut self, user: UserId, id: ChannelId) -> Option<&mut ChannelRow> {
        let row = self.channels.get_mut(&id)?;
        (row.stored.channel.user_id == user).then_some(row)
    }

    fn cancel(&mut self, channel: ChannelId, at: Timestamp, why: &str) {
        for row in self.deliveries.values_mut() {
            let delivery = &mut row.delivery;
            if delivery.channel_id == channel && delivery.state == DeliveryState::Pending {
                delivery.state = DeliveryState::Cancelled;
                delivery.last_error = Some(why.to_owned());
                delivery.finished_at = Some(at);
            }
        }
    }
}
