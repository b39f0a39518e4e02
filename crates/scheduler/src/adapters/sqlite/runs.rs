//! Rows of `sched_run`.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row, Sqlite, sqlite::SqliteRow};

use super::super::{
    batch::{End, Place, go_on},
    codec::{cause_from_text, cause_to_text, outcome_to_text},
    job_row::{AnyError, JobRow},
};
use super::jobs::{ROWS, RowError, Tx, save_states, unreadable};
use crate::{Cause, ClaimRequest, FinishedRun, Job, JobKey, Outcome, Run, RunId};

/// A run that has not ended, as its row has it.
#[derive(Debug)]
pub(super) struct RunRow {
    pub(super) id: RunId,
    pub(super) generation: u64,
    pub(super) cause: Cause,
    pub(super) released: bool,
    pub(super) attempts: u32,
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

/// Inserts the rows of claims; returns their fences. An occurrence that was claimed before has
/// none.
pub(super) async fn insert_runs(
    tx: &mut Tx,
    request: &ClaimRequest,
    runs: &[Run],
) -> Result<HashMap<Place, u64>, RowError> {
    let mut fences = HashMap::with_capacity(runs.len());
    for runs in runs.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO sched_run
               (ns, key, scheduled_for, gen, cause, fence, owner, lease_until, state) ",
        );
        insert.push_values(runs, |mut row, run| {
            row.push_bind(&request.namespace)
                .push_bind(run.id.key.as_str())
                .push_bind(run.id.scheduled_for.as_millisecond())
                .push_bind(run.generation as i64)
                .push_bind(cause_to_text(run.cause))
                .push_bind(run.id.fence as i64)
                .push_bind(&request.owner)
                .push_bind(request.lease_until.as_millisecond())
                .push("'running'");
        });
        insert.push(
            " ON CONFLICT (ns, key, scheduled_for) DO NOTHING
             RETURNING key, scheduled_for, fence",
        );
        let inserted: Vec<(String, i64, i64)> = insert
            .build_query_as()
            .persistent(runs.len() == ROWS)
            .fetch_all(&mut **tx)
            .await?;
        let fence = |(key, time, fence): (String, i64, i64)| ((key, time), fence as u64);
        fences.extend(inserted.into_iter().map(fence));
    }
    Ok(fences)
}

/// Those of the runs that are still the owner's.
pub(super) async fn owned(
    tx: &mut Tx,
    ns: &str,
    owner: &str,
    runs: &[FinishedRun],
) -> Result<HashSet<Place>, RowError> {
    let mut mine = HashSet::with_capacity(runs.len());
    for runs in runs.chunks(ROWS) {
        let mut select = QueryBuilder::<Sqlite>::new("SELECT r.key, r.scheduled_for FROM (");
        select.push_values(runs, |mut row, FinishedRun { id, .. }| {
            row.push_bind(id.key.as_str())
                .push_bind(id.scheduled_for.as_millisecond())
                .push_bind(id.fence as i64);
        });
        // In this order: each of them is looked up.
        select
            .push(") AS n CROSS JOIN sched_run AS r WHERE r.ns = ")
            .push_bind(ns)
            .push(
                " AND r.key = n.column1 AND r.scheduled_for = n.column2 AND r.fence = n.column3
                 AND r.finished_at IS NULL AND r.owner = ",
            )
            .push_bind(owner);
        let found: Vec<Place> = select
            .build_query_as()
            .persistent(runs.len() == ROWS)
            .fetch_all(&mut **tx)
            .await?;
        mine.extend(found);
    }
    Ok(mine)
}

/// Gives a run back.
pub(super) async fn release(
    tx: &mut Tx,
    ns: &str,
    (key, time): &Place,
    now: Timestamp,
) -> Result<(), RowError> {
    sqlx::query(
        "UPDATE sched_run SET state = 'released', lease_until = ?4
         WHERE ns = ?1 AND key = ?2 AND scheduled_for = ?3",
    )
    .bind(ns)
    .bind(key)
    .bind(time)
    .bind(now.as_millisecond())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends runs and lets their jobs go on; returns when the first of them is due.
pub(super) async fn end_runs(
    tx: &mut Tx,
    ns: &str,
    ends: Vec<End>,
    now: Timestamp,
) -> Result<Option<Timestamp>, RowError> {
    for ends in ends.chunks(ROWS) {
        let mut update = QueryBuilder::<Sqlite>::new(
            "UPDATE sched_run AS r SET state = 'done', outcome = n.column3, finished_at = ",
        );
        update.push_bind(now.as_millisecond()).push(" FROM (");
        update.push_values(ends, |mut row, End { place, outcome }| {
            row.push_bind(&place.0)
                .push_bind(place.1)
                .push_bind(outcome_to_text(outcome));
        });
        update
            .push(") AS n WHERE r.ns = ")
            .push_bind(ns)
            .push(" AND r.key = n.column1 AND r.scheduled_for = n.column2");
        update
            .build()
            .persistent(ends.len() == ROWS)
            .execute(&mut **tx)
            .await?;
    }
    let keys: HashSet<&str> = ends.iter().map(|end| &*end.place.0).collect();
    let mut jobs = JobRow::load_all(tx, ns, keys.into_iter().collect()).await?;
    go_on(&mut jobs, ends, now);
    save_states(tx, ns, jobs.values()).await
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
    if let Some(mut row) = JobRow::load_readable(tx, ns, key).await? {
        // Counted without the run that has just ended.
        row.state.running += 1;
        row.state.end(&row.job, now);
        row.save_state(tx, ns).await?;
    }
    Ok(())
}
