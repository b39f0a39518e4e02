use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    CodeHash, Connections, ErasedRows, Erasure, ErasureId, ErasureStatus, ErasureStore,
    PersonalData, PortError, Receipt, Tombstone, TombstoneLog,
};

/// The tables of [`MemoryErasures`].
const TABLES: [&str; 3] = ["session", "notification", "account"];

/// Requests for erasure, users' rows, tombstones and connections, in memory.
#[derive(Debug, Default)]
pub struct MemoryErasures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    requests: BTreeMap<ErasureId, (Erasure, Option<CodeHash>)>,
    erased: BTreeMap<(ErasureId, String), u64>,
    rows: BTreeMap<(Uuid, &'static str), u64>,
    armed: HashSet<Uuid>,
    connected: HashSet<Uuid>,
    buried: HashSet<Uuid>,
    log: BTreeMap<Uuid, Tombstone>,
}

impl MemoryErasures {
    /// Without anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a user so many rows in each table, a schedule that fires, and a connection.
    pub fn plant(&self, user: Uuid, rows: u64) {
        let mut state = self.state();
        for table in TABLES {
            state.rows.insert((user, table), rows);
        }
        state.armed.insert(user);
        state.connected.insert(user);
    }

    /// What is left of a user: rows, and whether schedules fire and connections are open.
    #[must_use]
    pub fn left(&self, user: Uuid) -> (u64, bool, bool) {
        let state = self.state();
        let rows = state.rows.iter().filter(|((owner, _), _)| *owner == user);
        let rows = rows.map(|(_, count)| count).sum();
        (
            rows,
            state.armed.contains(&user),
            state.connected.contains(&user),
        )
    }

    /// Takes everything back to a time at which the user was not erased, but for the log of
    /// tombstones: what the restore of a backup does.
    pub fn restore(&self, user: Uuid, rows: u64) {
        let mut state = self.state();
        state.requests.clear();
        state.erased.clear();
        state.buried.clear();
        drop(state);
        self.plant(user, rows);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, wanted: impl Fn(&Erasure) -> bool, limit: u32) -> Vec<Erasure> {
        let found = self.requests.values().map(|(erasure, _)| erasure);
        let found = found.filter(|erasure| wanted(erasure));
        found.take(limit as usize).cloned().collect()
    }

    fn change(&mut self, id: ErasureId, from: &[ErasureStatus]) -> Option<&mut Erasure> {
        let (erasure, _) = self.requests.get_mut(&id)?;
        from.contains(&erasure.status).then_some(erasure)
    }
}

const OPEN: [ErasureStatus; 3] = [
    ErasureStatus::Pending,
    ErasureStatus::Running,
    ErasureStatus::Failed,
];

#[async_trait]
impl ErasureStore for MemoryErasures {
    async fn insert(
        &self,
        erasure: &Erasure,
        code: Option<CodeHash>,
    ) -> Result<Option<Erasure>, PortError> {
        let mut state = self.state();
        let of_user = |it: &Erasure| it.user_id == erasure.user_id && it.status.is_open();
        if let Some(open) = state.find(of_user, 1).pop() {
            return Ok(Some(open));
        }
        state.requests.insert(erasure.id, (erasure.clone(), code));
        Ok(None)
    }

    async fn get(&self, id: ErasureId) -> Result<Option<Erasure>, PortError> {
        let state = self.state();
        Ok(state.requests.get(&id).map(|(erasure, _)| erasure.clone()))
    }

    async fn by_code(&self, code: CodeHash) -> Result<Option<Erasure>, PortError> {
        let state = self.state();
        let found = state.requests.values().find(|(_, own)| *own == Some(code));
        Ok(found.map(|(erasure, _)| erasure.clone()))
    }

    async fn list(
        &self,
        user: Option<Uuid>,
        before: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError> {
        let wanted = |it: &Erasure| {
            user.is_none_or(|user| user == it.user_id) && before.is_none_or(|before| it.id < before)
        };
        let mut found = self.state().find(wanted, u32::MAX);
        found.reverse();
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError> {
        let due = |it: &Erasure| {
            it.status.is_open() && it.due_at <= now && after.is_none_or(|after| it.id > after)
        };
        Ok(self.state().find(due, limit))
    }

    async fn completed_since(
        &self,
        since: Timestamp,
        after: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError> {
        let done = |it: &Erasure| {
            it.status == ErasureStatus::Completed
                && it.finished_at.is_some_and(|at| at >= since)
                && after.is_none_or(|after| it.id > after)
        };
        Ok(self.state().find(done, limit))
    }

    async fn cancel(&self, id: ErasureId, at: Timestamp) -> Result<bool, PortError> {
        let mut state = self.state();
        let pending = state.change(id, &[ErasureStatus::Pending]);
        Ok(pending.is_some_and(|erasure| {
            erasure.status = ErasureStatus::Cancelled;
            erasure.finished_at = Some(at);
            true
        }))
    }

    async fn begin(&self, id: ErasureId) -> Result<bool, PortError> {
        let mut state = self.state();
        Ok(state.change(id, &OPEN).is_some_and(|erasure| {
            erasure.status = ErasureStatus::Running;
            true
        }))
    }

    async fn fail(&self, id: ErasureId, error: &str) -> Result<(), PortError> {
        let mut state = self.state();
        if let Some(erasure) = state.change(id, &[ErasureStatus::Running]) {
            erasure.status = ErasureStatus::Failed;
            erasure.error = Some(error.to_owned());
        }
        Ok(())
    }

    async fn complete(&self, tombstone: &Tombstone) -> Result<Receipt, PortError> {
        let id = tombstone.request_id;
        let mut state = self.state();
        let tables = state.erased.iter().filter(|((of, _), _)| *of == id);
        let tables = tables.map(|((_, table), rows)| ErasedRows {
            table: table.clone(),
            rows: *rows,
        });
        let tables = tables.collect();
        let from = [ErasureStatus::Running, ErasureStatus::Completed];
        let erasure = state.change(id, &from);
        let erasure = erasure.ok_or_else(|| PortError::permanent("it is not running"))?;
        if let Some(receipt) = &erasure.receipt {
            return Ok(receipt.clone());
        }
        let receipt = Receipt {
            request_id: id,
            user_id: erasure.user_id,
            requested_at: erasure.requested_at,
            finished_at: tombstone.erased_at,
            tables,
        };
        erasure.status = ErasureStatus::Completed;
        erasure.finished_at = Some(tombstone.erased_at);
        erasure.error = None;
        erasure.receipt = Some(receipt.clone());
        state.buried.insert(tombstone.user_id);
        Ok(receipt)
    }

    async fn count_overdue(&self, before: Timestamp) -> Result<u64, PortError> {
        let overdue = |it: &Erasure| it.status.is_open() && it.due_at < before;
        Ok(self.state().find(overdue, u32::MAX).len() as u64)
    }

    async fn without_tombstone(&self, users: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        let state = self.state();
        let unknown = users.iter().filter(|user| !state.buried.contains(user));
        Ok(unknown.copied().collect())
    }
}

#[async_trait]
impl PersonalData for MemoryErasures {
    fn tables(&self) -> Vec<&'static str> {
        TABLES.to_vec()
    }

    async fn cancel_schedules(&self, user: Uuid) -> Result<(), PortError> {
        self.state().armed.remove(&user);
        Ok(())
    }

    async fn erase_batch(
        &self,
        request: ErasureId,
        user: Uuid,
        table: &'static str,
        limit: u32,
    ) -> Result<u64, PortError> {
        let mut state = self.state();
        let Some(rows) = state.rows.get_mut(&(user, table)) else {
            return Ok(0);
        };
        let batch = (*rows).min(u64::from(limit));
        *rows -= batch;
        if batch > 0 {
            *state.erased.entry((request, table.to_owned())).or_default() += batch;
        }
        Ok(batch)
    }

    async fn count(&self, user: Uuid, table: &'static str) -> Result<u64, PortError> {
        let state = self.state();
        Ok(state.rows.get(&(user, table)).copied().unwrap_or_default())
    }
}

#[async_trait]
impl Connections for MemoryErasures {
    async fn close(&self, user: Uuid) {
        self.state().connected.remove(&user);
    }
}

#[async_trait]
impl TombstoneLog for MemoryErasures {
    async fn append(&self, tombstone: &Tombstone) -> Result<(), PortError> {
        let mut state = self.state();
        state.log.entry(tombstone.user_id).or_insert(*tombstone);
        Ok(())
    }

    async fn read(&self) -> Result<Vec<Tombstone>, PortError> {
        Ok(self.state().log.values().copied().collect())
    }
}
