use async_trait::async_trait;

use crate::{
    InsertOutcome, PortError, RemoveOutcome, Schedule, ScheduleId, ScheduleStore, StoredSchedule,
    SyncMark, UpdateOutcome, UserId,
};

use super::{MemoryStore, Row};

#[async_trait]
impl ScheduleStore for MemoryStore {
    async fn insert(&self, schedule: &Schedule, limit: u32) -> Result<InsertOutcome, PortError> {
        self.with(|state| {
            let owned = state
                .schedules
                .values()
                .filter(|row| row.schedule.user_id == schedule.user_id && !row.removed);
            if owned.count() >= limit as usize {
                return Ok(InsertOutcome::LimitReached);
            }
            if state.schedules.contains_key(&schedule.id) {
                return Err(PortError::permanent("the id is taken"));
            }
            let row = Row {
                schedule: schedule.clone(),
                removed: false,
                synced: 0,
            };
            state.schedules.insert(schedule.id, row);
            Ok(InsertOutcome::Inserted)
        })
    }

    async fn get(&self, user: UserId, id: ScheduleId) -> Result<Option<Schedule>, PortError> {
        Ok(self.with(|state| state.live(user, id).map(|row| row.schedule.clone())))
    }

    async fn load(&self, id: ScheduleId) -> Result<Option<StoredSchedule>, PortError> {
        Ok(self.with(|state| {
            let row = state.schedules.get(&id)?;
            Some(match row.removed {
                true => StoredSchedule::Tombstone,
                false => StoredSchedule::Live(row.schedule.clone()),
            })
        }))
    }

    async fn list(
        &self,
        user: UserId,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<Schedule>, PortError> {
        Ok(self.with(|state| {
            let rows = state.schedules.values().filter(|row| {
                row.schedule.user_id == user && !row.removed && Some(row.schedule.id) > after
            });
            rows.take(limit as usize)
                .map(|row| row.schedule.clone())
                .collect()
        }))
    }

    async fn update(&self, schedule: &Schedule, expected: u64) -> Result<UpdateOutcome, PortError> {
        Ok(
            self.with(|state| match state.live(schedule.user_id, schedule.id) {
                None => UpdateOutcome::Missing,
                Some(row) if row.schedule.version != expected => UpdateOutcome::Stale {
                    actual: row.schedule.version,
                },
                Some(row) => {
                    let created_at = row.schedule.created_at;
                    if let Some(row) = state.schedules.get_mut(&schedule.id) {
                        row.schedule = Schedule {
                            created_at,
                            ..schedule.clone()
                        };
                    }
                    UpdateOutcome::Updated
                }
            }),
        )
    }

    async fn remove(
        &self,
        user: UserId,
        id: ScheduleId,
        expected: Option<u64>,
    ) -> Result<RemoveOutcome, PortError> {
        Ok(self.with(|state| {
            let Some(actual) = state.live(user, id).map(|row| row.schedule.version) else {
                return RemoveOutcome::Missing;
            };
            if expected.is_some_and(|expected| expected != actual) {
                return RemoveOutcome::Stale { actual };
            }
            if let Some(row) = state.schedules.get_mut(&id) {
                row.removed = true;
                row.schedule.version += 1;
            }
            RemoveOutcome::Removed
        }))
    }

    async fn out_of_sync(
        &self,
        after: Option<ScheduleId>,
        limit: u32,
    ) -> Result<Vec<ScheduleId>, PortError> {
        Ok(self.with(|state| {
            let behind = state
                .schedules
                .iter()
                .filter(|(id, row)| row.synced != row.schedule.version && Some(**id) > after);
            behind.take(limit as usize).map(|(id, _)| *id).collect()
        }))
    }

    async fn mark_synced(&self, id: ScheduleId, version: u64) -> Result<SyncMark, PortError> {
        Ok(self.with(|state| match state.schedules.get_mut(&id) {
            Some(row) if row.schedule.version == version && !row.removed => {
                row.synced = version;
                SyncMark::Current
            }
            Some(row) => {
                row.synced = 0;
                SyncMark::Changed
            }
            None => SyncMark::Changed,
        }))
    }

    async fn forget(&self, id: ScheduleId) -> Result<(), PortError> {
        self.with(|state| {
            if state.schedules.get(&id).is_some_and(|row| row.removed) {
                state.schedules.remove(&id);
            }
        });
        Ok(())
    }
}
