use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{PortError, Records, RetentionStore};

/// Records in memory that have nothing but a time.
#[derive(Debug, Default)]
pub struct MemoryRetention(Mutex<HashMap<Records, Vec<Timestamp>>>);

impl MemoryRetention {
    /// A store without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record of a time.
    pub fn plant(&self, records: Records, at: Timestamp) {
        self.with(records, |times| {
            times.push(at);
            times.sort_unstable();
        });
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self, records: Records) -> usize {
        self.with(records, |times| times.len())
    }

    fn with<R>(&self, records: Records, f: impl FnOnce(&mut Vec<Timestamp>) -> R) -> R {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(all.entry(records).or_default())
    }
}

#[async_trait]
impl RetentionStore for MemoryRetention {
    async fn count_expired(&self, records: Records, cutoff: Timestamp) -> Result<u64, PortError> {
        Ok(self.with(records, |times| {
            times.partition_point(|at| *at < cutoff) as u64
        }))
    }

    async fn oldest(&self, records: Records) -> Result<Option<Timestamp>, PortError> {
        Ok(self.with(records, |times| times.first().copied()))
    }

    async fn delete_batch(
        &self,
        records: Records,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<u64, PortError> {
        Ok(self.with(records, |times| {
            let expired = times.partition_point(|at| *at < cutoff).min(limit as usize);
            times.drain(..expired).count() as u64
        }))
    }
}
