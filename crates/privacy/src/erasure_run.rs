use jiff::Timestamp;
use steadfast_lease::LeaseContext;
use steadfast_sync::RetryError;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    Erasure, ErasureError, ErasureId, ErasureStatus, Erasures, Operation, PortError, Privacy,
    PrivacyError, Receipt, Run, STRAGGLERS, Tombstone, Trigger,
    erasures::failed,
    error::in_full,
    privacy::{INTERRUPTED, decide},
};

/// How many requests are read at a time.
const PAGE: u32 = 100;

/// How often all tables are gone through: once, and again while somebody is still writing.
const MAX_PASSES: u32 = 8;

/// Says why the work must not go on, if it must not.
type GoOn<'a> = &'a (dyn Fn() -> Result<(), String> + Send + Sync);

impl Privacy {
    /// Carries out the requests for erasure that are due, and goes on with those that were not
    /// completed; nothing without [`erasures`](crate::PrivacyBuilder::erasures).
    ///
    /// A run that meets another one at work does nothing and is
    /// [`Skipped`](crate::RunStatus::Skipped); that is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops between two steps or lets go of one, and leaves its run behind as running,
    /// and its lock to expire; the next run marks it as failed and goes on.
    ///
    /// # Errors
    ///
    /// [`Incomplete`](PrivacyError::Incomplete) if any erasure failed,
    /// [`Lock`](PrivacyError::Lock), [`Log`](PrivacyError::Log).
    pub async fn erase(&self, trigger: Trigger) -> Result<Run, PrivacyError> {
        self.run(Operation::Erasure, trigger).await
    }

    pub(crate) async fn erase_all_due(
        &self,
        run: &mut Run,
        lease: LeaseContext,
        stop: CancellationToken,
    ) -> Result<(), PrivacyError> {
        if let Some(erasures) = &self.erasures {
            run.error = self.erase_due(erasures, lease, stop).await;
        }
        Ok(())
    }

    /// Why not everything was done, if it was not.
    async fn erase_due(
        &self,
        erasures: &Erasures,
        lease: LeaseContext,
        stop: CancellationToken,
    ) -> Option<String> {
        let deadline = self.clock.monotonic() + self.max_duration;
        let go_on = || {
            lease.check().map_err(|lost| in_full(&lost))?;
            if stop.is_cancelled() {
                return Err(INTERRUPTED.to_owned());
            }
            if self.clock.monotonic() >= deadline {
                return Err(format!("not done within {:?}", self.max_duration));
            }
            Ok(())
        };
        let mut problems = Vec::new();
        if let Err(problem) = erasures.all_due(&go_on, &mut problems).await {
            problems.push(problem);
        }
        if let Err(problem) = erasures.stragglers(&go_on).await {
            problems.push(problem);
        }
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

impl Erasures {
    /// Erases once more whoever has a tombstone in the log and none in the store, which was
    /// restored from an older backup then: call it at start, before anybody is let in. Says how
    /// many there were.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves erasures behind as running, as a crash does.
    ///
    /// # Errors
    ///
    /// [`Store`](ErasureError::Store) if a port fails before all of them are under way, which is
    /// when they are kept out. An erasure that fails later is no error: the next run goes on.
    pub async fn reapply(&self) -> Result<u64, ErasureError> {
        let known = self.tombstones.read().await;
        let known = known.map_err(failed("read the log of tombstones"))?;
        let mut again = Vec::new();
        for part in known.chunks(PAGE as usize) {
            let users: Vec<_> = part.iter().map(|tombstone| tombstone.user_id).collect();
            let unknown = self.store.without_tombstone(&users).await;
            for user in unknown.map_err(failed("look for tombstones"))? {
                again.push(self.put_under_way(user).await?);
            }
        }
        for erasure in &again {
            warn!(user = %erasure.user_id, "erased once more: the database is older than that");
            self.carry_out(erasure, &|| Ok(())).await;
        }
        Ok(again.len() as u64)
    }

    /// A running request of now, or the open one that the user has.
    async fn put_under_way(&self, user: Uuid) -> Result<Erasure, ErasureError> {
        let erasure = self.new_erasure(user, self.now(), ErasureStatus::Running);
        let open = self.store.insert(&erasure, None).await;
        let erasure = open.map_err(failed("store an erasure"))?.unwrap_or(erasure);
        let begun = self.store.begin(erasure.id).await;
        begun.map_err(failed("begin an erasure"))?;
        Ok(erasure)
    }

    /// Adds what went wrong with single erasures to `problems`.
    async fn all_due(&self, go_on: GoOn<'_>, problems: &mut Vec<String>) -> Result<(), String> {
        let now = self.now();
        let mut after = None;
        loop {
            let due = |_| self.store.due(now, after, PAGE);
            let due = self.retry.run(due, decide).await.map_err(last)?;
            for erasure in &due {
                go_on()?;
                if let Some(problem) = self.carry_out(erasure, go_on).await {
                    problems.push(format!("erasure {}: {problem}", erasure.id));
                }
            }
            after = due.last().map(|erasure| erasure.id);
            if due.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Erases what requests that were in flight have stored for users that are gone.
    async fn stragglers(&self, go_on: GoOn<'_>) -> Result<(), String> {
        let since = self.now().checked_sub(STRAGGLERS);
        let since = since.unwrap_or(Timestamp::MIN);
        let mut after = None;
        loop {
            let done = |_| self.store.completed_since(since, after, PAGE);
            let done = self.retry.run(done, decide).await.map_err(last)?;
            for erasure in &done {
                self.connections.close(erasure.user_id).await;
                self.erase_rows(erasure.id, erasure.user_id, go_on).await?;
            }
            after = done.last().map(|erasure| erasure.id);
            if done.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Carries one erasure out, as far as that goes; what went wrong is stored and answered.
    async fn carry_out(&self, erasure: &Erasure, go_on: GoOn<'_>) -> Option<String> {
        match self.steps(erasure, go_on).await {
            Ok(Some(receipt)) => {
                info!(request = %erasure.id, tables = receipt.tables.len(), "a user was erased");
                None
            }
            // Cancelled at the last moment.
            Ok(None) => None,
            Err(problem) => {
                warn!(request = %erasure.id, problem, "an erasure is not complete");
                let fail = |_| self.store.fail(erasure.id, &problem);
                if let Err(error) = self.retry.run(fail, decide).await {
                    // It stays running, which the next run goes on with as well.
                    warn!(request = %erasure.id, error = last(error), "cannot store a failure");
                }
                Some(problem)
            }
        }
    }

    async fn steps(&self, erasure: &Erasure, go_on: GoOn<'_>) -> Result<Option<Receipt>, String> {
        let (id, user) = (erasure.id, erasure.user_id);
        let begin = |_| self.store.begin(id);
        if !self.retry.run(begin, decide).await.map_err(last)? {
            return Ok(None);
        }
        let cancel = |_| self.data.cancel_schedules(user);
        self.retry.run(cancel, decide).await.map_err(last)?;
        self.connections.close(user).await;
        self.erase_rows(id, user, go_on).await?;
        // Whoever was just connecting when the credentials went is in the hub by now.
        self.connections.close(user).await;
        let tombstone = Tombstone {
            user_id: user,
            request_id: id,
            erased_at: self.now(),
        };
        let bury = |_| self.tombstones.append(&tombstone);
        self.retry.run(bury, decide).await.map_err(last)?;
        let complete = |_| self.store.complete(&tombstone);
        let receipt = self.retry.run(complete, decide).await.map_err(last)?;
        Ok(Some(receipt))
    }

    /// Goes through the tables until a whole pass finds nothing.
    async fn erase_rows(&self, id: ErasureId, user: Uuid, go_on: GoOn<'_>) -> Result<(), String> {
        for _ in 0..MAX_PASSES {
            let mut erased = 0;
            for table in self.data.tables() {
                erased += self.erase_table(id, user, table, go_on).await?;
            }
            if erased == 0 {
                return Ok(());
            }
        }
        Err(format!("rows came back in each of {MAX_PASSES} passes"))
    }

    async fn erase_table(
        &self,
        id: ErasureId,
        user: Uuid,
        table: &'static str,
        go_on: GoOn<'_>,
    ) -> Result<u64, String> {
        let mut erased = 0;
        loop {
            go_on()?;
            let batch = |_| self.data.erase_batch(id, user, table, self.batch);
            let batch = self.retry.run(batch, decide).await;
            let batch = batch.map_err(|error| format!("{table}: {}", last(error)))?;
            if batch == 0 {
                return Ok(erased);
            }
            erased += batch;
            tokio::time::sleep(self.pause).await;
        }
    }
}

fn last(error: RetryError<PortError>) -> String {
    in_full(&error)
}
