use async_trait::async_trait;

use crate::{PortError, PreferenceStore, Preferences, PutOutcome, UserId};

use super::MemoryStore;

#[async_trait]
impl PreferenceStore for MemoryStore {
    async fn get(&self, user: UserId) -> Result<Option<Preferences>, PortError> {
        Ok(self.with(|state| state.preferences.get(&user).cloned()))
    }

    async fn put(
        &self,
        user: UserId,
        preferences: &Preferences,
        expected: u64,
    ) -> Result<PutOutcome, PortError> {
        Ok(self.with(|state| {
            let current = state.preferences.get(&user);
            if current.map_or(1, |current| current.version) != expected {
                return PutOutcome::Stale;
            }
            state.preferences.insert(user, preferences.clone());
            PutOutcome::Stored
        }))
    }
}
