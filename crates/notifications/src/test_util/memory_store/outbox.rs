use async_trait::async_trait;
use jiff::Timestamp;

use crate::{OutboxClaim, OutboxStore, PortError, Settlement};

use super::{EPOCH, MemoryStore};

#[async_trait]
impl OutboxStore for MemoryStore {
    async fn claim(
        &self,
        now: Timestamp,
        until: Timestamp,
        users: u32,
        events: u32,
    ) -> Result<Vec<OutboxClaim>, PortError> {
        Ok(self.with(|state| {
            let pending = state.logs.iter_mut();
            let mut pending: Vec<_> = pending
                .filter(|(_, log)| log.available_at.is_some_and(|at| at <= now))
                .collect();
            pending.sort_by_key(|(user, log)| (log.available_at, **user));
            let claimed = pending.into_iter().take(users as usize);
            claimed
                .map(|(&user_id, log)| {
                    log.available_at = Some(until);
                    log.claims += 1;
                    OutboxClaim {
                        user_id,
                        number: log.claims,
                        failures: log.failures,
                        epoch: EPOCH.to_owned(),
                        events: log.events_after(log.pushed, events),
                    }
                })
                .collect()
        }))
    }

    async fn settle(&self, claim: &OutboxClaim, settlement: Settlement) -> Result<(), PortError> {
        self.with(|state| {
            let Some(log) = state.logs.get_mut(&claim.user_id) else {
                return;
            };
            if log.claims != claim.number {
                return;
            }
            match settlement {
                Settlement::Pushed { pushed, at } => {
                    log.pushed = log.pushed.max(pushed.unwrap_or_default());
                    log.failures = 0;
                    let is_pending = !log.events_after(log.pushed, 1).is_empty();
                    log.available_at = is_pending.then_some(at);
                }
                Settlement::RetryAt { pushed, at } => {
                    log.pushed = log.pushed.max(pushed.unwrap_or_default());
                    log.failures += 1;
                    log.available_at = Some(at);
                }
            }
        });
        Ok(())
    }

    async fn release(&self, now: Timestamp) -> Result<u64, PortError> {
        Ok(self.with(|state| {
            let waiting = state.logs.values_mut();
            let waiting = waiting.filter(|log| log.available_at.is_some_and(|at| at > now));
            let released = waiting.map(|log| {
                log.available_at = Some(now);
                log.claims += 1;
            });
            released.count() as u64
        }))
    }
}
