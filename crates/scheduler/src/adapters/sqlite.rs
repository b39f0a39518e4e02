mod claim;
mod jobs;
mod runs;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};

use self::claim::{claim_again, claim_jobs, set_aside};
use self::jobs::{RowError, Tx, take_numbers};
use self::runs::{end_runs, owned, release};
use super::{
    batch::{End, place},
    job_row::{JobRow, nearest_instant},
};
use crate::{
    ClaimRequest, Claimed, Ending, FinishedRun, Job, JobKey, JobStatus, JobStore, RunId, RunNow,
    StoreError, Upserted,
};

/// A [`JobStore`] in a SQLite file, for the processes of one host.
///
/// It takes a pool of connections that may write, with the tables of
/// [`MIGRATIONS`](crate::MIGRATIONS). Every change is one `BEGIN IMMEDIATE` transaction, so that
/// no two processes claim the same occurrence; the primary key of the runs makes sure of it. Give
/// the connections a busy timeout (sqlx does by default): a lock held elsewhere is waited for,
/// and beyond that it is a transient error.
///
/// A job whose row cannot be read (somebody else wrote it) is set aside with an error in the log,
/// until an upsert writes it anew; a run whose row cannot be read is given up when its lease has
/// ended. Neither keeps others from being claimed.
#[derive(Clone, Debug)]
pub struct SqliteJobStore {
    pool: SqlitePool,
}

impl SqliteJobStore {
    /// A store in the database of `pool`.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    async fn begin(&self) -> Result<Tx, RowError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed, RowError> {
        // Most polls find nothing: they need not lock the file.
        let first = self.next_due_now(&request.namespace).await?;
        if first.is_none_or(|due| due > request.now) {
            return Ok(Claimed {
                runs: Vec::new(),
                next_due: first,
            });
        }
        let mut tx = self.begin().await?;
        let mut runs = Vec::new();
        claim_again(&mut tx, request, &mut runs).await?;
        let limit = request.limit - runs.len();
        if limit > 0 {
            let mut jobs = Vec::new();
            for row in JobRow::due(&mut tx, request, limit).await? {
                match row {
                    Ok(row) => jobs.push(row),
                    Err(error) => set_aside(&mut tx, request, error).await?,
                }
            }
            claim_jobs(&mut tx, request, jobs, &mut runs).await?;
        }
        // Before the commit: once there are claims, nothing may keep them from being returned.
        let next_due = next_due(&mut tx, &request.namespace).await?;
        tx.commit().await?;
        Ok(Claimed { runs, next_due })
    }

    async fn next_due_now(&self, namespace: &str) -> Result<Option<Timestamp>, RowError> {
        let mut connection = self.pool.acquire().await?;
        next_due(&mut connection, namespace).await
    }
}

#[async_trait]
impl JobStore for SqliteJobStore {
    async fn upsert(
        &self,
        namespace: &str,
        job: &Job,
        now: Timestamp,
    ) -> Result<Upserted, StoreError> {
        let upsert = async {
            let mut tx = self.begin().await?;
            let old = match JobRow::load(&mut tx, namespace, &job.key).await {
                // Writing it anew is how an unreadable row is mended.
                Err(RowError::Decode { .. }) => None,
                old => old?,
            };
            if let Some(old) = old.as_ref().filter(|old| old.job == *job) {
                // It had been set aside by a version that could not read it.
                if old.due.is_none() && old.state.due_at(job).is_some() {
                    old.save_state(&mut tx, namespace).await?;
                    tx.commit().await?;
                }
                return Ok(Upserted {
                    generation: old.generation,
                    next_fire: old.state.next_fire,
                    changed: false,
                });
            }
            let keeps_instants = old
                .as_ref()
                .is_some_and(|old| old.job.has_same_instants(job));
            let (state, last) = old.map_or_else(Default::default, |old| (old.state, old.last));
            let mut row = JobRow {
                job: job.clone(),
                generation: take_numbers(&mut tx, namespace, 1).await?,
                state,
                last,
                due: None,
            };
            if !keeps_instants {
                row.state.reschedule(job, now);
            }
            row.state.running = active_runs(&mut tx, namespace, &job.key).await?;
            row.save(&mut tx, namespace).await?;
            tx.commit().await?;
            Ok(Upserted {
                generation: row.generation,
                next_fire: row.state.next_fire,
                changed: true,
            })
        };
        upsert.await.map_err(failed("upsert a job"))
    }

    async fn remove(&self, namespace: &str, key: &JobKey) -> Result<Option<u64>, StoreError> {
        let remove = async {
            let mut tx = self.begin().await?;
            let generation: Option<i64> = sqlx::query_scalar(
                "DELETE FROM sched_job WHERE ns = ?1 AND key = ?2 RETURNING gen",
            )
            .bind(namespace)
            .bind(key.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(generation.map(|generation| generation as u64))
        };
        remove.await.map_err(failed("remove a job"))
    }

    async fn set_paused(
        &self,
        namespace: &str,
        key: &JobKey,
        paused: bool,
        now: Timestamp,
    ) -> Result<Option<Upserted>, StoreError> {
        let set = async {
            let mut tx = self.begin().await?;
            let Some(mut row) = JobRow::load(&mut tx, namespace, key).await? else {
                return Ok(None);
            };
            let changed = row.state.paused != paused;
            if changed {
                row.state.paused = paused;
                row.state.reschedule(&row.job, now);
                row.generation = take_numbers(&mut tx, namespace, 1).await?;
                row.save(&mut tx, namespace).await?;
                tx.commit().await?;
            }
            Ok(Some(Upserted {
                generation: row.generation,
                next_fire: row.state.next_fire,
                changed,
            }))
        };
        set.await.map_err(failed("pause or resume a job"))
    }

    async fn request_run(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<RunNow, StoreError> {
        let request = async {
            let mut tx = self.begin().await?;
            let Some(mut row) = JobRow::load(&mut tx, namespace, key).await? else {
                return Ok(RunNow::Unknown);
            };
            let answer = row.state.request_run(&row.job, now);
            row.save_state(&mut tx, namespace).await?;
            tx.commit().await?;
            Ok(answer)
        };
        request.await.map_err(failed("note a request to run"))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claimed, StoreError> {
        let claim = self.claim(request);
        claim.await.map_err(failed("claim what is due"))
    }

    async fn renew(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[RunId],
        lease_until: Timestamp,
    ) -> Result<Vec<RunId>, StoreError> {
        let renew = async {
            let mut tx = self.begin().await?;
            let mut lost = Vec::new();
            for id in runs {
                let done = sqlx::query(
                    "UPDATE sched_run SET lease_until = ?6
                     WHERE ns = ?1 AND key = ?2 AND scheduled_for = ?3 AND fence = ?4
                       AND owner = ?5 AND finished_at IS NULL",
                )
                .bind(namespace)
                .bind(id.key.as_str())
                .bind(id.scheduled_for.as_millisecond())
                .bind(id.fence as i64)
                .bind(owner)
                .bind(lease_until.as_millisecond())
                .execute(&mut *tx)
                .await?;
                if done.rows_affected() == 0 {
                    lost.push(id.clone());
                }
            }
            tx.commit().await?;
            Ok(lost)
        };
        renew.await.map_err(failed("renew leases"))
    }

    async fn finish(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[FinishedRun],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let finish = async {
            let mut tx = self.begin().await?;
            // Fenced: a run that is not the owner's any more is left alone.
            let mine = owned(&mut tx, namespace, owner, runs).await?;
            let (mut first, mut ends) = (None, Vec::new());
            for run in runs {
                let place = place(&run.id);
                match &run.ending {
                    _ if !mine.contains(&place) => {}
                    Ending::Released => {
                        release(&mut tx, namespace, &place, now).await?;
                        first = Some(now);
                    }
                    Ending::Done(outcome) => ends.push(End {
                        place,
                        outcome: outcome.clone(),
                    }),
                }
            }
            let due = end_runs(&mut tx, namespace, ends, now).await?;
            tx.commit().await?;
            Ok([first, due].into_iter().flatten().min())
        };
        finish.await.map_err(failed("store the end of runs"))
    }

    async fn next_due(&self, namespace: &str) -> Result<Option<Timestamp>, StoreError> {
        let next = self.next_due_now(namespace);
        next.await.map_err(failed("find what is due next"))
    }

    async fn status(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<Option<JobStatus>, StoreError> {
        let status = async {
            let mut tx = self.pool.begin().await?;
            let row = JobRow::load(&mut tx, namespace, key).await?;
            Ok(row.map(|row| JobStatus {
                next_fire: row.state.visible_next_fire(&row.job, now),
                running: row.state.running,
                last: row.last,
                skipped: row.state.skipped,
                paused: row.state.paused,
                generation: row.generation,
            }))
        };
        status.await.map_err(failed("read a job"))
    }

    async fn purge_runs(
        &self,
        namespace: &str,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let purge = async {
            let done = sqlx::query(
                "DELETE FROM sched_run WHERE rowid IN (
                   SELECT rowid FROM sched_run WHERE ns = ?1 AND finished_at < ?2 LIMIT ?3)",
            )
            .bind(namespace)
            .bind(before.as_millisecond())
            .bind(limit)
            .execute(&self.pool)
            .await?;
            Ok(done.rows_affected())
        };
        purge.await.map_err(failed("purge old runs"))
    }
}

async fn next_due(
    connection: &mut SqliteConnection,
    ns: &str,
) -> Result<Option<Timestamp>, RowError> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT MIN(due) FROM (
           SELECT MIN(due_at) AS due FROM sched_job WHERE ns = ?1 AND due_at IS NOT NULL
           UNION ALL
           SELECT MIN(lease_until) FROM sched_run WHERE ns = ?1 AND finished_at IS NULL)",
    )
    .bind(ns)
    .fetch_one(connection)
    .await?;
    Ok(due.map(nearest_instant))
}

async fn active_runs(tx: &mut Tx, ns: &str, key: &JobKey) -> Result<u32, RowError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM sched_run WHERE ns = ?1 AND key = ?2 AND finished_at IS NULL",
    )
    .bind(ns)
    .bind(key.as_str())
    .fetch_one(&mut **tx)
    .await?;
    Ok(count as u32)
}

fn failed(operation: &'static str) -> impl FnOnce(RowError) -> StoreError {
    move |error| {
        let transient = match &error {
            RowError::Sql(sqlx::Error::Database(error)) => {
                // BUSY, LOCKED, NOMEM, IOERR and PROTOCOL with their families.
                let code = error.code().and_then(|code| code.parse::<u32>().ok());
                code.is_some_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 10 | 15))
            }
            RowError::Sql(
                sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_),
            ) => true,
            _ => false,
        };
        if transient {
            StoreError::transient(operation, error)
        } else {
            StoreError::permanent(operation, error)
        }
    }
}
