use jiff::Timestamp;
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::super::{
    codec::{cause_from_text, cause_to_text, outcome_to_text, policy_to_text},
    job_row::{AnyError, JobRow},
};
use crate::{Cause, ClaimRequest, Job, JobKey, LastRun, Outcome, Run, RunId};

pub(super) type Tx = Transaction<'static, Sqlite>;

/// A run that has not ended, as its row has it.
#[derive(Debug)]
pub(super) struct RunRow {
    pub(super) id: RunId,
    pub(super) generation: u64,
    pub(super) cause: Cause,
    pub(super) released: bool,
    pub(super) attempts: u32,
}

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("a row of job {key:?} cannot be read")]
    Decode {
        rowid: i64,
        /// Empty if it cannot be read either.
        key: String,
        #[source]
        source: AnyError,
    },
}

impl JobRow {
    pub(super) async fn load(
        tx: &mut Tx,
        ns: &str,
        key: &JobKey,
    ) -> Result<Option<Self>, RowError> {
        let row = sqlx::query(
            "SELECT j.rowid, j.*, (SELECT COUNT(*) FROM sched_run r
                          WHERE r.ns = j.ns AND r.key = j.key AND r.finished_at IS NULL) AS running
             FROM sched_job j WHERE j.ns = ?1 AND j.key = ?2",
        )
        .bind(ns)
        .bind(key.as_str())
        .fetch_optional(&mut **tx)
        .await?;
        row.map(|row| decode_with_runs(&row)).transpose()
    }

    /// As [`load`](Self::load), but a row that cannot be read counts as none: the runs of such a
    /// job must be able to end.
    pub(super) async fn load_readable(
        tx: &mut Tx,
        ns: &str,
        key: &JobKey,
    ) -> Result<Option<Self>, RowError> {
        match Self::load(tx, ns, key).await {
            Err(RowError::Decode { .. }) => Ok(None),
            loaded => loaded,
        }
    }

    /// The jobs that are due, the earliest first; those that cannot be read are left out and
    /// named.
    pub(super) async fn due(
        tx: &mut Tx,
        request: &ClaimRequest,
        limit: usize,
    ) -> Result<Vec<Result<Self, RowError>>, RowError> {
        let rows = sqlx::query(
            "SELECT j.rowid, j.*, (SELECT COUNT(*) FROM sched_run r
                          WHERE r.ns = j.ns AND r.key = j.key AND r.finished_at IS NULL) AS running
             FROM sched_job j WHERE j.ns = ?1 AND j.due_at <= ?2 ORDER BY j.due_at LIMIT ?3",
        )
        .bind(&request.namespace)
        .bind(request.now.as_millisecond())
        .bind(limit as i64)
        .fetch_all(&mut **tx)
        .await?;
        Ok(rows.iter().map(decode_with_runs).collect())
    }

    /// Writes everything that can change without a new generation; returns when the job is due.
    pub(super) async fn save_state(
        &self,
        tx: &mut Tx,
        ns: &str,
    ) -> Result<Option<Timestamp>, RowError> {
        let due = self.state.due_at(&self.job);
        let last = self.last.as_ref();
        sqlx::query(
            "UPDATE sched_job SET next_fire_at = ?3, due_at = ?4, last_scheduled_for = ?5,
               manual_for = ?6, manual_wanted = ?7, busy_from = ?8, busy_until = ?9, skipped = ?10,
               last_run_for = ?11, last_finished_at = ?12, last_outcome = ?13
             WHERE ns = ?1 AND key = ?2",
        )
        .bind(ns)
        .bind(self.job.key.as_str())
        .bind(self.state.next_fire.map(Timestamp::as_millisecond))
        .bind(due.map(Timestamp::as_millisecond))
        .bind(self.state.last_scheduled.map(Timestamp::as_millisecond))
        .bind(self.state.manual_for.map(Timestamp::as_millisecond))
        .bind(self.state.manual_wanted)
        .bind(self.state.busy_from.map(Timestamp::as_millisecond))
        .bind(self.state.busy_until.map(Timestamp::as_millisecond))
        .bind(self.state.skipped as i64)
        .bind(last.map(|last| last.scheduled_for.as_millisecond()))
        .bind(last.map(|last| last.finished_at.as_millisecond()))
        .bind(last.map(|last| outcome_to_text(&last.outcome)))
        .execute(&mut **tx)
        .await?;
        Ok(due)
    }

    /// Writes what makes a new generation, inserting the row if there is none.
    pub(super) async fn save(&self, tx: &mut Tx, ns: &str) -> Result<(), RowError> {
        sqlx::query(
            "INSERT INTO sched_job (ns, key, gen, spec, dialect, tz, policy, paused)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (ns, key) DO UPDATE SET gen = ?3, spec = ?4, dialect = ?5, tz = ?6,
               policy = ?7, paused = ?8",
        )
        .bind(ns)
        .bind(self.job.key.as_str())
        .bind(self.generation as i64)
        .bind(self.job.spec.as_str())
        .bind(self.job.spec.dialect().as_str())
        .bind(self.job.tz.iana_name())
        .bind(policy_to_text(&self.job.policy))
        .bind(self.state.paused)
        .execute(&mut **tx)
        .await?;
        self.save_state(tx, ns).await?;
        Ok(())
    }
}

fn decode_with_runs(row: &SqliteRow) -> Result<JobRow, RowError> {
    let decoded = JobRow::decode(row).and_then(|mut job| {
        job.state.running = row.try_get::<i64, _>("running")? as u32;
        Ok(job)
    });
    decoded.map_err(|source| unreadable(row, source))
}

impl RunRow {
    /// The runs whose lease has ended, the earliest first; those that cannot be read are named.
    pub(super) async fn expired(
        tx: &mut Tx,
        request: &ClaimRequest,
    ) -> Result<Vec<Result<Self, RowError>>, RowError> {
        let rows = sqlx::query(
            "SELECT rowid, key, scheduled_for, gen, cause, fence, state, attempts FROM sched_run
             WHERE ns = ?1 AND finished_at IS NULL AND lease_until <= ?2
             ORDER BY lease_until LIMIT ?3",
        )
        .bind(&request.namespace)
        .bind(request.now.as_millisecond())
        .bind(request.limit as i64)
        .fetch_all(&mut **tx)
        .await?;
        Ok(rows.iter().map(Self::decode).collect())
    }

    fn decode(row: &SqliteRow) -> Result<Self, RowError> {
        Self::try_decode(row).map_err(|source| unreadable(row, source))
    }

    fn try_decode(row: &SqliteRow) -> Result<Self, AnyError> {
        let (key, cause): (String, String) = (row.try_get("key")?, row.try_get("cause")?);
        let state: String = row.try_get("state")?;
        Ok(Self {
            id: RunId {
                key: key.into(),
                scheduled_for: Timestamp::from_millisecond(row.try_get("scheduled_for")?)?,
                fence: row.try_get::<i64, _>("fence")? as u64,
            },
            generation: row.try_get::<i64, _>("gen")? as u64,
            cause: cause_from_text(&cause)?,
            released: state == "released",
            attempts: row.try_get::<i64, _>("attempts")? as u32,
        })
    }

    /// Claims the run again under a new fence.
    pub(super) async fn claim_again(
        self,
        tx: &mut Tx,
        request: &ClaimRequest,
        fence: u64,
        job: &Job,
    ) -> Result<Run, RowError> {
        sqlx::query(
            "UPDATE sched_run SET fence = ?4, owner = ?5, lease_until = ?6, state = 'running',
               attempts = ?7
             WHERE ns = ?1 AND key = ?2 AND scheduled_for = ?3",
        )
        .bind(&request.namespace)
        .bind(self.id.key.as_str())
        .bind(self.id.scheduled_for.as_millisecond())
        .bind(fence as i64)
        .bind(&request.owner)
        .bind(request.lease_until.as_millisecond())
        .bind(i64::from(self.attempts + u32::from(!self.released)))
        .execute(&mut **tx)
        .await?;
        Ok(Run {
            id: RunId { fence, ..self.id },
            generation: self.generation,
            cause: self.cause,
            policy: job.policy.clone(),
        })
    }
}

/// Inserts the row of a claim; `false` if the occurrence has been claimed before.
pub(super) async fn insert_run(
    tx: &mut Tx,
    request: &ClaimRequest,
    run: &Run,
) -> Result<bool, RowError> {
    let done = sqlx::query(
        "INSERT INTO sched_run (ns, key, scheduled_for, gen, cause, fence, owner, lease_until, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'running')
         ON CONFLICT (ns, key, scheduled_for) DO NOTHING",
    )
    .bind(&request.namespace)
    .bind(run.id.key.as_str())
    .bind(run.id.scheduled_for.as_millisecond())
    .bind(run.generation as i64)
    .bind(cause_to_text(run.cause))
    .bind(run.id.fence as i64)
    .bind(&request.owner)
    .bind(request.lease_until.as_millisecond())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends every run of a job that has not ended.
pub(super) async fn abort_runs(
    tx: &mut Tx,
    ns: &str,
    key: &JobKey,
    now: Timestamp,
) -> Result<(), RowError> {
    sqlx::query(
        "UPDATE sched_run SET state = 'done', finished_at = ?3, outcome = ?4
         WHERE ns = ?1 AND key = ?2 AND finished_at IS NULL",
    )
    .bind(ns)
    .bind(key.as_str())
    .bind(now.as_millisecond())
    .bind(outcome_to_text(&Outcome::Aborted))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a run and lets its job go on; returns when that is due.
pub(super) async fn end_run(
    tx: &mut Tx,
    ns: &str,
    id: &RunId,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<Option<Timestamp>, RowError> {
    sqlx::query(
        "UPDATE sched_run SET state = 'done', finished_at = ?4, outcome = ?5
         WHERE ns = ?1 AND key = ?2 AND scheduled_for = ?3",
    )
    .bind(ns)
    .bind(id.key.as_str())
    .bind(id.scheduled_for.as_millisecond())
    .bind(now.as_millisecond())
    .bind(outcome_to_text(outcome))
    .execute(&mut **tx)
    .await?;
    let last = (*outcome != Outcome::Superseded).then(|| LastRun {
        scheduled_for: id.scheduled_for,
        finished_at: now,
        outcome: outcome.clone(),
    });
    go_on(tx, ns, &id.key, last, now).await
}

/// Ends a run that cannot be read, and lets its job go on.
pub(super) async fn end_unreadable_run(
    tx: &mut Tx,
    ns: &str,
    rowid: i64,
    key: &JobKey,
    now: Timestamp,
) -> Result<(), RowError> {
    sqlx::query(
        "UPDATE sched_run SET state = 'done', finished_at = ?2, outcome = ?3 WHERE rowid = ?1",
    )
    .bind(rowid)
    .bind(now.as_millisecond())
    .bind(outcome_to_text(&Outcome::Abandoned))
    .execute(&mut **tx)
    .await?;
    go_on(tx, ns, key, None, now).await?;
    Ok(())
}

/// Lets a job go on after the end of a run; returns when it is due.
async fn go_on(
    tx: &mut Tx,
    ns: &str,
    key: &JobKey,
    last: Option<LastRun>,
    now: Timestamp,
) -> Result<Option<Timestamp>, RowError> {
    let Some(mut row) = JobRow::load_readable(tx, ns, key).await? else {
        return Ok(None);
    };
    // Counted without the run that has just ended.
    row.state.running += 1;
    row.state.end(&row.job, now);
    row.last = last.or(row.last);
    row.save_state(tx, ns).await
}

/// Takes `count` numbers for generations or fences; returns the first.
pub(super) async fn take_numbers(tx: &mut Tx, ns: &str, count: usize) -> Result<u64, RowError> {
    let last: i64 = sqlx::query_scalar(
        "INSERT INTO sched_counter (ns, value) VALUES (?1, ?2)
         ON CONFLICT (ns) DO UPDATE SET value = value + ?2 RETURNING value",
    )
    .bind(ns)
    .bind(count as i64)
    .fetch_one(&mut **tx)
    .await?;
    Ok((last - count as i64 + 1) as u64)
}

fn unreadable(row: &SqliteRow, source: AnyError) -> RowError {
    RowError::Decode {
        rowid: row.try_get("rowid").unwrap_or_default(),
        key: row.try_get("key").unwrap_or_default(),
        source,
    }
}
