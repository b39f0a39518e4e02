mod claim;
mod error;
mod jobs;
mod notice;
mod runs;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sqlx::{PgPool, Row};

use self::{
    claim::{Taken, claim_expired, claim_jobs},
    error::{RowError, failed},
    jobs::{Tx, lock_all},
};
use super::{
    batch::{End, Place, place},
    job_row::{JobRow, nearest_instant},
};
use crate::{
    ClaimRequest, Claimed, Ending, FinishedRun, Job, JobKey, JobStatus, JobStore, RunId, RunNow,
    StoreError, Upserted, Wake,
};

/// Everything happens in such transactions: what one reads after it got its locks is what others have
/// committed before. Nobody waits for a lock for longer than a scheduler waits for the store, and
/// a process that was stopped in the middle loses its locks.
///
/// All rows are found by key, whatever the planner thinks of tables that it has no statistics of.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
                     SET LOCAL lock_timeout = '4s'; \
                     SET LOCAL idle_in_transaction_session_timeout = '5s'; \
                     SET LOCAL enable_seqscan = off; \
                     SET LOCAL enable_hashjoin = off; \
                     SET LOCAL enable_mergejoin = off; \
                     SET LOCAL jit = off";

/// When to look again for what is due and locked by others.
const LOCKED: SignedDuration = SignedDuration::from_millis(10);

/// A [`JobStore`] in a Postgres database, for processes on any number of hosts.
///
/// It takes a pool of connections with the tables of [`MIGRATIONS`](crate::MIGRATIONS). Claiming
/// and finishing cost the same number of round trips however many runs there are.
///
/// - Claims: due jobs are locked with `SKIP LOCKED`, so that processes claim side by side; the
///   primary key of the runs makes sure that no occurrence is claimed twice.
/// - Generations and fences come from a sequence, which has gaps. They hold over a crash of the
///   server as far as its commits do: with `synchronous_commit = off`, after a failover to a
///   replica that is not synchronous, or after a restore, the last ones can be given out again.
/// - Time: the server's time of day, which schedulers read every few seconds and extrapolate by
///   their monotonic clocks. Nothing is claimed early, and no lease ends early, by more than a round
///   trip of such a reading, however wrong the wall clocks of the hosts are. If the server's own
///   clock is set, leases may end early, and then the fences protect.
/// - Notices: changes that fall due within 30 s are told to the schedulers of other processes
///   with `NOTIFY sched_due`, for which each has one connection besides those of the pool. Where
///   they are lost, as behind a pooler in transaction mode, the schedulers' poll takes their place.
/// - Session: nothing else is left behind in it, so that such a pooler will do.
/// - Errors: lost connections, conflicts, deadlocks and locks held for more than 4 s, a server
///   that lacks something, starts, shuts down or is read-only, and cancelled statements are
///   transient (`SQLSTATE` 08000 to 08007, 08P01, 40001, 40003, 40P01, 55P03, 25P03, 25006, 53000
///   to 53400, 57P01 to 57P03, 57014, 58000, 58030); all others are permanent.
/// - Text: Postgres has no NUL character. It is replaced in the messages of outcomes, and refused
///   anywhere else.
///
/// A job whose row cannot be read (somebody else wrote it) is set aside with an error in the log,
/// until an upsert writes it anew; a run whose row cannot be read is given up when its lease has
/// ended. Neither keeps others from being claimed.
#[derive(Clone, Debug)]
pub struct PostgresJobStore {
    pool: PgPool,
}

impl PostgresJobStore {
    /// A store in the database of `pool`.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    async fn begin(&self) -> Result<Tx, RowError> {
        Ok(self.pool.begin_with(BEGIN).await?)
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claimed, RowError> {
        let ns = &request.namespace;
        let mut tx = self.begin().await?;
        // Most polls find nothing: they need no locks.
        let first = next(&mut tx, ns).await?;
        let is_now = |instant: Option<Timestamp>| instant.is_some_and(|at| at <= request.now);
        if !is_now(first.first()) {
            tx.commit().await?;
            return Ok(Claimed {
                runs: Vec::new(),
                next_due: first.first(),
            });
        }
        let mut rows = 0;
        if is_now(first.lease) {
            let taken = claim_expired(&mut tx, request).await?;
            tx.commit().await?;
            if !taken.runs.is_empty() {
                // Of other locks than those of jobs: what is due has its own transaction.
                return Ok(Claimed {
                    runs: taken.runs,
                    next_due: Some(request.now),
                });
            }
            rows += taken.rows;
            tx = self.begin().await?;
        }
        if is_now(first.job) {
            let Taken { runs, rows: more } = claim_jobs(&mut tx, request).await?;
            // Before the commit: once there are claims, nothing may keep them from being returned.
            let next_due = if more >= request.limit || runs.len() >= request.limit {
                Some(request.now)
            } else {
                next(&mut tx, ns).await?.first()
            };
            tx.commit().await?;
            if !runs.is_empty() {
                return Ok(Claimed { runs, next_due });
            }
            rows += more;
            tx = self.begin().await?;
        }
        let mut next_due = next(&mut tx, ns).await?.first();
        tx.commit().await?;
        if rows == 0 && is_now(next_due) {
            next_due = request.now.checked_add(LOCKED).ok();
        }
        Ok(Claimed {
            runs: Vec::new(),
            next_due,
        })
    }
}

#[async_trait]
impl JobStore for PostgresJobStore {
    async fn upsert(
        &self,
        namespace: &str,
        job: &Job,
        now: Timestamp,
    ) -> Result<Upserted, StoreError> {
        let upsert = async {
            let mut tx = self.begin().await?;
            let old = jobs::lock_or_insert(&mut tx, namespace, &job.key).await?;
            if let Some(old) = old.as_ref().filter(|old| old.job == *job) {
                // It had been set aside by a version that could not read it.
                if old.due.is_none() && old.state.due_at(job).is_some() {
                    jobs::save_states(&mut tx, namespace, [old].into_iter()).await?;
                }
                tx.commit().await?;
                return Ok(upserted(old, false));
            }
            let keeps_instants = old
                .as_ref()
                .is_some_and(|old| old.job.has_same_instants(job));
            let mut row = match old {
                Some(old) => JobRow {
                    job: job.clone(),
                    ..old
                },
                None => {
                    let mut row = new_row(job);
                    // Locked, so that none of them ends without noticing the new job.
                    row.state.running = runs::lock_active(&mut tx, namespace, &job.key).await?;
                    row
                }
            };
            if !keeps_instants {
                row.state.reschedule(job, now);
            }
            let due = jobs::save(&mut tx, namespace, &mut row).await?;
            notice::give(&mut tx, namespace, due, now).await?;
            tx.commit().await?;
            Ok(upserted(&row, true))
        };
        upsert.await.map_err(failed(&self.pool, "upsert a job"))
    }

    async fn remove(&self, namespace: &str, key: &JobKey) -> Result<Option<u64>, StoreError> {
        let remove = async {
            let mut tx = self.begin().await?;
            let generation: Option<i64> = sqlx::query_scalar(
                "DELETE FROM sched_job WHERE ns = $1 AND key = $2 RETURNING gen",
            )
            .bind(namespace)
            .bind(key.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(generation.map(|generation| generation as u64))
        };
        remove.await.map_err(failed(&self.pool, "remove a job"))
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
            let Some(mut row) = jobs::lock(&mut tx, namespace, key).await? else {
                tx.rollback().await?;
                return Ok(None);
            };
            let changed = row.state.paused != paused;
            if changed {
                row.state.paused = paused;
                row.state.reschedule(&row.job, now);
                let due = jobs::save(&mut tx, namespace, &mut row).await?;
                notice::give(&mut tx, namespace, due, now).await?;
            }
            tx.commit().await?;
            Ok(Some(upserted(&row, changed)))
        };
        set.await
            .map_err(failed(&self.pool, "pause or resume a job"))
    }

    async fn request_run(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<RunNow, StoreError> {
        let request = async {
            let mut tx = self.begin().await?;
            let Some(mut row) = jobs::lock(&mut tx, namespace, key).await? else {
                tx.rollback().await?;
                return Ok(RunNow::Unknown);
            };
            let answer = row.state.request_run(&row.job, now);
            let due = jobs::save_states(&mut tx, namespace, [&row].into_iter()).await?;
            notice::give(&mut tx, namespace, due, now).await?;
            tx.commit().await?;
            Ok(answer)
        };
        request
            .await
            .map_err(failed(&self.pool, "note a request to run"))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Claimed, StoreError> {
        let claim = self.claim(request);
        claim.await.map_err(failed(&self.pool, "claim what is due"))
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
            let mine = runs::lock_mine(&mut tx, namespace, owner, runs.iter()).await?;
            let places: Vec<Place> = mine.iter().cloned().collect();
            runs::renew(&mut tx, namespace, &places, lease_until).await?;
            tx.commit().await?;
            let lost = runs.iter().filter(|id| !mine.contains(&place(id)));
            Ok(lost.cloned().collect())
        };
        renew.await.map_err(failed(&self.pool, "renew leases"))
    }

    async fn finish(
        &self,
        namespace: &str,
        owner: &str,
        runs: &[FinishedRun],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let finish = async {
            let keys: Vec<&str> = runs.iter().map(|run| run.id.key.as_str()).collect();
            let mut tx = self.begin().await?;
            let jobs = lock_all(&mut tx, namespace, &keys).await?;
            // Fenced: a run that is not the owner's any more is left alone.
            let mine =
                runs::lock_mine(&mut tx, namespace, owner, runs.iter().map(|run| &run.id)).await?;
            let (mut released, mut ends) = (Vec::<Place>::new(), Vec::new());
            for run in runs {
                let place = place(&run.id);
                match &run.ending {
                    _ if !mine.contains(&place) => {}
                    Ending::Released => released.push(place),
                    Ending::Done(outcome) => ends.push(End {
                        place,
                        outcome: outcome.clone(),
                    }),
                }
            }
            let mut first = None;
            if !released.is_empty() {
                runs::release(&mut tx, namespace, &released, now).await?;
                // Whoever gives runs back is about to stop.
                notice::give(&mut tx, namespace, Some(now), now).await?;
                first = Some(now);
            }
            let due = runs::end(&mut tx, namespace, jobs, ends, now).await?;
            tx.commit().await?;
            Ok([first, due].into_iter().flatten().min())
        };
        finish
            .await
            .map_err(failed(&self.pool, "store the end of runs"))
    }

    async fn next_due(&self, namespace: &str) -> Result<Option<Timestamp>, StoreError> {
        let next = async {
            let mut tx = self.begin().await?;
            let next = next(&mut tx, namespace).await?;
            tx.commit().await?;
            Ok(next.first())
        };
        next.await
            .map_err(failed(&self.pool, "find what is due next"))
    }

    async fn status(
        &self,
        namespace: &str,
        key: &JobKey,
        now: Timestamp,
    ) -> Result<Option<JobStatus>, StoreError> {
        let status = async {
            let mut tx = self.begin().await?;
            let row = sqlx::query(
                "SELECT j.*, (SELECT COUNT(*) FROM sched_run AS r
                   WHERE r.ns = j.ns AND r.key = j.key AND r.finished_at IS NULL) AS running
                 FROM sched_job AS j WHERE j.ns = $1 AND j.key = $2",
            )
            .bind(namespace)
            .bind(key.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            tx.commit().await?;
            let Some(row) = row else {
                return Ok(None);
            };
            let running = row.try_get::<i64, _>("running")? as u32;
            let mut row = jobs::decode(&row)?;
            row.state.running = running;
            Ok(Some(JobStatus {
                next_fire: row.state.visible_next_fire(&row.job, now),
                running,
                last: row.last,
                skipped: row.state.skipped,
                paused: row.state.paused,
                generation: row.generation,
            }))
        };
        status.await.map_err(failed(&self.pool, "read a job"))
    }

    async fn purge_runs(
        &self,
        namespace: &str,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let purge = async {
            let mut tx = self.begin().await?;
            let done = sqlx::query(
                "DELETE FROM sched_run WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM sched_run WHERE ns = $1 AND finished_at < $2
                   LIMIT $3 FOR UPDATE SKIP LOCKED))",
            )
            .bind(namespace)
            .bind(before.as_millisecond())
            .bind(i64::from(limit))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(done.rows_affected())
        };
        purge.await.map_err(failed(&self.pool, "purge old runs"))
    }

    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        let time = async {
            let now: i64 = sqlx::query_scalar(
                "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8",
            )
            .fetch_one(&self.pool)
            .await?;
            Ok(Some(nearest_instant(now)))
        };
        time.await.map_err(failed(&self.pool, "tell the time"))
    }

    async fn watch(&self, namespace: &str, wake: Wake) {
        notice::take(&self.pool, namespace, &wake).await;
    }
}

/// When there is something to claim.
#[derive(Clone, Copy, Debug)]
struct Next {
    job: Option<Timestamp>,
    lease: Option<Timestamp>,
}

impl Next {
    fn first(self) -> Option<Timestamp> {
        [self.job, self.lease].into_iter().flatten().min()
    }
}

async fn next(tx: &mut Tx, ns: &str) -> Result<Next, RowError> {
    let (job, lease): (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT (SELECT MIN(due_at) FROM sched_job WHERE ns = $1 AND due_at IS NOT NULL),
           (SELECT MIN(lease_until) FROM sched_run WHERE ns = $1 AND finished_at IS NULL)",
    )
    .bind(ns)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Next {
        job: job.map(nearest_instant),
        lease: lease.map(nearest_instant),
    })
}

fn new_row(job: &Job) -> JobRow {
    JobRow {
        job: job.clone(),
        generation: 0,
        state: Default::default(),
        last: None,
        due: None,
    }
}

fn upserted(row: &JobRow, changed: bool) -> Upserted {
    Upserted {
        generation: row.generation,
        next_fire: row.state.next_fire,
        changed,
    }
}
