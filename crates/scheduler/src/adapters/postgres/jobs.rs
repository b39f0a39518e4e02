//! Rows of `sched_job`.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{Postgres, Row, Transaction, postgres::PgRow};

use super::super::{
    codec::{outcome_to_text, policy_to_text},
    job_row::JobRow,
};
use super::error::RowError;
use crate::{ClaimRequest, JobKey};

pub(super) type Tx = Transaction<'static, Postgres>;

/// How often it is tried to get hold of a row that others remove and put in again.
const TRIES: u32 = 10;

/// Locks the row of a job; `None` if there is none.
pub(super) async fn lock(tx: &mut Tx, ns: &str, key: &JobKey) -> Result<Option<JobRow>, RowError> {
    let row = sqlx::query("SELECT * FROM sched_job WHERE ns = $1 AND key = $2 FOR UPDATE")
        .bind(ns)
        .bind(key.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let Some(mut row) = row.map(|row| decode(&row)).transpose()? else {
        return Ok(None);
    };
    count_active(tx, ns, [&mut row].into_iter()).await?;
    Ok(Some(row))
}

/// Locks the row of a job, a new one where there was none; `None` if it has to be written anew.
pub(super) async fn lock_or_insert(
    tx: &mut Tx,
    ns: &str,
    key: &JobKey,
) -> Result<Option<JobRow>, RowError> {
    for _ in 0..TRIES {
        match lock(tx, ns, key).await {
            Ok(None) => {}
            Err(RowError::Decode { .. }) => return Ok(None),
            found => return found,
        }
        let inserted = sqlx::query(
            "INSERT INTO sched_job (ns, key, gen, spec, dialect, tz, policy)
             VALUES ($1, $2, 0, '', '', '', '') ON CONFLICT DO NOTHING",
        )
        .bind(ns)
        .bind(key.as_str())
        .execute(&mut **tx)
        .await?;
        if inserted.rows_affected() == 1 {
            return Ok(None);
        }
    }
    Err(RowError::Contended {
        key: key.to_string(),
    })
}

/// Locks the jobs that are due, the earliest first, but for those that others have locked. Those
/// that cannot be read are left out and named.
pub(super) async fn lock_due(
    tx: &mut Tx,
    request: &ClaimRequest,
) -> Result<Vec<Result<JobRow, RowError>>, RowError> {
    let rows = sqlx::query(
        "WITH due AS MATERIALIZED (
           SELECT * FROM sched_job WHERE ns = $1 AND due_at <= $2
           ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         SELECT * FROM due ORDER BY due_at",
    )
    .bind(&request.namespace)
    .bind(request.now.as_millisecond())
    .bind(request.limit as i64)
    .fetch_all(&mut **tx)
    .await?;
    let mut jobs: Vec<_> = rows.iter().map(decode).collect();
    count_active(tx, &request.namespace, jobs.iter_mut().flatten()).await?;
    Ok(jobs)
}

/// Locks the jobs of runs whose lease has ended, but for those that others have locked. Those that
/// cannot be read are there without a job.
pub(super) async fn lock_of_expired_runs(
    tx: &mut Tx,
    request: &ClaimRequest,
) -> Result<HashMap<String, Option<JobRow>>, RowError> {
    let rows = sqlx::query(
        "WITH expired AS MATERIALIZED (
           SELECT key FROM sched_run
           WHERE ns = $1 AND finished_at IS NULL AND lease_until <= $2
           ORDER BY lease_until LIMIT $3)
         SELECT * FROM sched_job
         WHERE ns = $1 AND key IN (SELECT key FROM expired)
         ORDER BY key FOR UPDATE SKIP LOCKED",
    )
    .bind(&request.namespace)
    .bind(request.now.as_millisecond())
    .bind(request.limit as i64)
    .fetch_all(&mut **tx)
    .await?;
    by_key(&rows)
}

/// Locks these jobs, and waits for those that others have locked. Those that cannot be read are
/// there without a job.
pub(super) async fn lock_all(
    tx: &mut Tx,
    ns: &str,
    keys: &[&str],
) -> Result<HashMap<String, Option<JobRow>>, RowError> {
    let rows = sqlx::query(
        "SELECT * FROM sched_job WHERE ns = $1 AND key = ANY($2) ORDER BY key FOR UPDATE",
    )
    .bind(ns)
    .bind(keys)
    .fetch_all(&mut **tx)
    .await?;
    by_key(&rows)
}

fn by_key(rows: &[PgRow]) -> Result<HashMap<String, Option<JobRow>>, RowError> {
    rows.iter()
        .map(|row| Ok((row.try_get("key")?, decode(row).ok())))
        .collect()
}

/// Counts the runs of jobs that have not ended.
///
/// In a statement of its own: it must see what was committed by those who held the locks before.
pub(super) async fn count_active<'a>(
    tx: &mut Tx,
    ns: &str,
    jobs: impl Iterator<Item = &'a mut JobRow>,
) -> Result<(), RowError> {
    let mut jobs: HashMap<String, &mut JobRow> =
        jobs.map(|row| (row.job.key.to_string(), row)).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = jobs.keys().map(String::as_str).collect();
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT key, COUNT(*) FROM sched_run
         WHERE ns = $1 AND key = ANY($2) AND finished_at IS NULL GROUP BY key",
    )
    .bind(ns)
    .bind(keys)
    .fetch_all(&mut **tx)
    .await?;
    jobs.values_mut().for_each(|row| row.state.running = 0);
    for (key, count) in counts {
        if let Some(row) = jobs.get_mut(&key) {
            row.state.running = count as u32;
        }
    }
    Ok(())
}

/// Writes everything of jobs that can change without a new generation; returns when the first of
/// them is due.
pub(super) async fn save_states<'a>(
    tx: &mut Tx,
    ns: &str,
    jobs: impl Iterator<Item = &'a JobRow>,
) -> Result<Option<Timestamp>, RowError> {
    let mut columns = Columns::default();
    let due = jobs.filter_map(|row| columns.push(row)).min();
    if columns.keys.is_empty() {
        return Ok(None);
    }
    sqlx::query(
        "UPDATE sched_job AS j SET next_fire_at = n.next_fire_at, due_at = n.due_at,
           last_scheduled_for = n.last_scheduled_for, manual_for = n.manual_for,
           manual_wanted = n.manual_wanted, busy_from = n.busy_from, busy_until = n.busy_until,
           skipped = n.skipped, last_run_for = n.last_run_for,
           last_finished_at = n.last_finished_at, last_outcome = n.last_outcome
         FROM unnest($2::text[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::bool[],
             $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[], $13::text[])
           AS n (key, next_fire_at, due_at, last_scheduled_for, manual_for, manual_wanted,
             busy_from, busy_until, skipped, last_run_for, last_finished_at, last_outcome)
         CROSS JOIN LATERAL (
           SELECT ctid FROM sched_job WHERE ns = $1 AND key = n.key OFFSET 0) AS at
         WHERE j.ctid = at.ctid",
    )
    .bind(ns)
    .bind(columns.keys)
    .bind(columns.next_fire)
    .bind(columns.due)
    .bind(columns.last_scheduled)
    .bind(columns.manual_for)
    .bind(columns.manual_wanted)
    .bind(columns.busy_from)
    .bind(columns.busy_until)
    .bind(columns.skipped)
    .bind(columns.last_run)
    .bind(columns.last_end)
    .bind(columns.last_outcome)
    .execute(&mut **tx)
    .await?;
    Ok(due)
}

/// Writes what makes a new generation, and everything else of a job; returns when it is due.
pub(super) async fn save(
    tx: &mut Tx,
    ns: &str,
    row: &mut JobRow,
) -> Result<Option<Timestamp>, RowError> {
    // The number is taken under the lock of the row: a later change has a greater one.
    let generation: i64 = sqlx::query_scalar(
        "UPDATE sched_job SET gen = nextval('sched_number'), spec = $3, dialect = $4, tz = $5,
           policy = $6, paused = $7
         WHERE ns = $1 AND key = $2 RETURNING gen",
    )
    .bind(ns)
    .bind(row.job.key.as_str())
    .bind(row.job.spec.as_str())
    .bind(row.job.spec.dialect().as_str())
    .bind(row.job.tz.iana_name())
    .bind(policy_to_text(&row.job.policy))
    .bind(row.state.paused)
    .fetch_one(&mut **tx)
    .await?;
    row.generation = generation as u64;
    save_states(tx, ns, [&*row].into_iter()).await
}

/// Keeps jobs from being due until they are written anew.
pub(super) async fn set_aside(tx: &mut Tx, ns: &str, keys: &[String]) -> Result<(), RowError> {
    sqlx::query("UPDATE sched_job SET due_at = NULL WHERE ns = $1 AND key = ANY($2)")
        .bind(ns)
        .bind(keys)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) fn decode(row: &PgRow) -> Result<JobRow, RowError> {
    JobRow::decode(row).map_err(|source| RowError::Decode {
        key: row.try_get("key").unwrap_or_default(),
        source,
    })
}

/// What is written of jobs, column by column.
#[derive(Default)]
struct Columns {
    keys: Vec<String>,
    next_fire: Vec<Option<i64>>,
    due: Vec<Option<i64>>,
    last_scheduled: Vec<Option<i64>>,
    manual_for: Vec<Option<i64>>,
    manual_wanted: Vec<bool>,
    busy_from: Vec<Option<i64>>,
    busy_until: Vec<Option<i64>>,
    skipped: Vec<i64>,
    last_run: Vec<Option<i64>>,
    last_end: Vec<Option<i64>>,
    last_outcome: Vec<Option<String>>,
}

impl Columns {
    /// Returns when the job is due.
    fn push(&mut self, row: &JobRow) -> Option<Timestamp> {
        let millis = |instant: Option<Timestamp>| instant.map(Timestamp::as_millisecond);
        let due = row.state.due_at(&row.job);
        let last = row.last.as_ref();
        self.keys.push(row.job.key.to_string());
        self.next_fire.push(millis(row.state.next_fire));
        self.due.push(millis(due));
        self.last_scheduled.push(millis(row.state.last_scheduled));
        self.manual_for.push(millis(row.state.manual_for));
        self.manual_wanted.push(row.state.manual_wanted);
        self.busy_from.push(millis(row.state.busy_from));
        self.busy_until.push(millis(row.state.busy_until));
        self.skipped.push(row.state.skipped as i64);
        self.last_run
            .push(millis(last.map(|last| last.scheduled_for)));
        self.last_end
            .push(millis(last.map(|last| last.finished_at)));
        self.last_outcome
            .push(last.map(|last| storable(outcome_to_text(&last.outcome))));
        due
    }
}

/// Postgres keeps no NUL: a handler's message with one must not keep its run from ending.
pub(super) fn storable(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}
