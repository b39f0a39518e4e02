use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{PolicyChange, PolicyStore, PortError, Records, RetentionPolicy};

/// Changed policies in memory.
#[derive(Debug, Default)]
pub struct MemoryPolicies(Mutex<BTreeMap<Records, RetentionPolicy>>);

impl MemoryPolicies {
    /// A store in which no policy was changed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<R>(&self, f: impl FnOnce(&mut BTreeMap<Records, RetentionPolicy>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl PolicyStore for MemoryPolicies {
    async fn load(&self) -> Result<Vec<RetentionPolicy>, PortError> {
        Ok(self.with(|policies| policies.values().cloned().collect()))
    }

    async fn store(&self, change: &PolicyChange) -> Result<bool, PortError> {
        let after = &change.after;
        Ok(self.with(|policies| {
            let version = policies.get(&after.records).map_or(1, |it| it.version);
            let is_current = version == change.before.version;
            if is_current {
                policies.insert(after.records, after.clone());
            }
            is_current
        }))
    }
}
