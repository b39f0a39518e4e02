use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Operation, PolicyOutcome, PortError, Run, RunId, RunLog, RunStatus};

/// A log of runs in memory.
#[derive(Debug, Default)]
pub struct MemoryRunLog(Mutex<BTreeMap<RunId, Run>>);

impl MemoryRunLog {
    /// A log without runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<R>(&self, f: impl FnOnce(&mut BTreeMap<RunId, Run>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, id: RunId, f: impl FnOnce(&mut Run)) -> Result<(), PortError> {
        self.with(|runs| {
            let run = runs.get_mut(&id);
            run.map(f)
                .ok_or_else(|| PortError::permanent("there is no such run"))
        })
    }
}

#[async_trait]
impl RunLog for MemoryRunLog {
    async fn begin(&self, run: &Run) -> Result<(), PortError> {
        self.with(|runs| {
            if runs.contains_key(&run.id) {
                return Err(PortError::permanent("the id is taken"));
            }
            if run.status == RunStatus::Running {
                fail_unfinished(runs, run.operation, run.started_at);
            }
            runs.insert(run.id, run.clone());
            Ok(())
        })
    }

    async fn fail_unfinished(&self, operation: Operation, at: Timestamp) -> Result<u64, PortError> {
        Ok(self.with(|runs| fail_unfinished(runs, operation, at)))
    }

    async fn record(&self, id: RunId, outcome: &PolicyOutcome) -> Result<(), PortError> {
        self.change(id, |run| run.policies.push(outcome.clone()))
    }

    async fn finish(&self, run: &Run) -> Result<(), PortError> {
        self.change(run.id, |stored| {
            stored.status = run.status;
            stored.finished_at = run.finished_at;
            stored.error.clone_from(&run.error);
            stored.report.clone_from(&run.report);
        })
    }

    async fn find(&self, id: RunId) -> Result<Option<Run>, PortError> {
        Ok(self.with(|runs| runs.get(&id).cloned()))
    }

    async fn last_success(&self, operation: Operation) -> Result<Option<Run>, PortError> {
        Ok(self.with(|runs| {
            let succeeded = runs
                .values()
                .rev()
                .find(|run| run.operation == operation && run.status == RunStatus::Succeeded);
            succeeded.cloned()
        }))
    }

    async fn list(
        &self,
        operation: Option<Operation>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, PortError> {
        Ok(self.with(|runs| {
            let wanted = runs.values().rev().filter(|run| {
                operation.is_none_or(|operation| operation == run.operation)
                    && before.is_none_or(|before| run.id < before)
            });
            wanted.take(limit as usize).cloned().collect()
        }))
    }
}

fn fail_unfinished(runs: &mut BTreeMap<RunId, Run>, operation: Operation, at: Timestamp) -> u64 {
    let unfinished = runs
        .values_mut()
        .filter(|run| run.operation == operation && run.status == RunStatus::Running);
    let failed = unfinished.map(|run| {
        run.status = RunStatus::Failed;
        run.finished_at = Some(at);
        run.error = Some("it never ended".to_owned());
    });
    failed.count() as u64
}
