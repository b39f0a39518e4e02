//! Rows of `sched_run`.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use sqlx::{Row, postgres::PgRow};

use super::super::{
    batch::{End, Place, go_on, place},
    codec::{cause_from_text, cause_to_text, outcome_to_text},
    job_row::{AnyError, JobRow},
};
use super::{
    error::RowError,
    jobs::{Tx, count_active, lock_all, save_states, storable},
};
use crate::{Cause, ClaimRequest, JobKey, Outcome, Run, RunId};

/// A run whose lease has ended.
#[derive(Debug)]
pub(super) struct Expired {
    pub(super) place: Place,
    pub(super) released: bool,
    /// The others cannot be read.
    pub(super) readable: Result<Readable, AnyError>,
}

#[derive(Debug)]
pub(super) struct Readable {
    pub(super) scheduled_for: Timestamp,
    pub(super) generation: u64,
    pub(super) cause: Cause,
    pub(super) attempts: u32,
}

/// Locks the runs of these jobs, and of jobs that are gone, whose lease has ended, the earliest
/// first, but for those that others have locked.
pub(super) async fn lock_expired(
    tx: &mut Tx,
    request: &ClaimRequest,
    keys: Vec<&str>,
) -> Result<Vec<Expired>, RowError> {
    let rows = sqlx::query(
        "SELECT r.key, r.scheduled_for, r.gen, r.cause, r.state, r.attempts::int8 AS attempts
         FROM sched_run AS r
         WHERE r.ns = $1 AND r.finished_at IS NULL AND r.lease_until <= $2
           AND (r.key = ANY($4) OR NOT EXISTS (
             SELECT FROM sched_job AS j WHERE j.ns = r.ns AND j.key = r.key))
         ORDER BY r.lease_until LIMIT $3 FOR UPDATE OF r SKIP LOCKED",
    )
    .bind(&request.namespace)
    .bind(request.now.as_millisecond())
    .bind(request.limit as i64)
    .bind(keys)
    .fetch_all(&mut **tx)
    .await?;
    let expired = |row: &PgRow| {
        let state: String = row.try_get("state")?;
        Ok(Expired {
            place: (row.try_get("key")?, row.try_get("scheduled_for")?),
            released: state == "released",
            readable: readable(row),
        })
    };
    rows.iter().map(expired).collect()
}

fn readable(row: &PgRow) -> Result<Readable, AnyError> {
    let cause: String = row.try_get("cause")?;
    Ok(Readable {
        scheduled_for: Timestamp::from_millisecond(row.try_get("scheduled_for")?)?,
        generation: row.try_get::<i64, _>("gen")? as u64,
        cause: cause_from_text(&cause)?,
        attempts: row.try_get::<i64, _>("attempts")? as u32,
    })
}

/// Claims runs again that are locked; returns their new fences.
pub(super) async fn claim_again(
    tx: &mut Tx,
    request: &ClaimRequest,
    places: &[Place],
) -> Result<HashMap<Place, u64>, RowError> {
    let (keys, times) = columns(places);
    let claimed: Vec<(String, i64, i64)> = sqlx::query_as(
        "UPDATE sched_run AS r SET fence = nextval('sched_number'), owner = $4, lease_until = $5,
           state = 'running', attempts = attempts + (state <> 'released')::int
         FROM unnest($2::text[], $3::int8[]) AS n (key, scheduled_for)
         CROSS JOIN LATERAL (
           SELECT ctid FROM sched_run
           WHERE ns = $1 AND key = n.key AND scheduled_for = n.scheduled_for OFFSET 0) AS at
         WHERE r.ctid = at.ctid
         RETURNING r.key, r.scheduled_for, r.fence",
    )
    .bind(&request.namespace)
    .bind(keys)
    .bind(times)
    .bind(&request.owner)
    .bind(request.lease_until.as_millisecond())
    .fetch_all(&mut **tx)
    .await?;
    Ok(fences(claimed))
}

/// Inserts the rows of claims; returns their fences. An occurrence that was claimed before has
/// none.
pub(super) async fn insert(
    tx: &mut Tx,
    request: &ClaimRequest,
    runs: &[Run],
) -> Result<HashMap<Place, u64>, RowError> {
    if runs.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<Place> = runs.iter().map(|run| place(&run.id)).collect();
    let (keys, times) = columns(&places);
    let generations: Vec<i64> = runs.iter().map(|run| run.generation as i64).collect();
    let causes: Vec<&str> = runs.iter().map(|run| cause_to_text(run.cause)).collect();
    let inserted: Vec<(String, i64, i64)> = sqlx::query_as(
        "INSERT INTO sched_run
           (ns, key, scheduled_for, gen, cause, fence, owner, lease_until, state)
         SELECT $1, n.key, n.scheduled_for, n.gen, n.cause, nextval('sched_number'), $6, $7,
           'running'
         FROM unnest($2::text[], $3::int8[], $4::int8[], $5::text[])
           AS n (key, scheduled_for, gen, cause)
         ON CONFLICT DO NOTHING
         RETURNING key, scheduled_for, fence",
    )
    .bind(&request.namespace)
    .bind(keys)
    .bind(times)
    .bind(generations)
    .bind(causes)
    .bind(&request.owner)
    .bind(request.lease_until.as_millisecond())
    .fetch_all(&mut **tx)
    .await?;
    Ok(fences(inserted))
}

fn fences(claimed: Vec<(String, i64, i64)>) -> HashMap<Place, u64> {
    let fence = |(key, time, fence): (String, i64, i64)| ((key, time), fence as u64);
    claimed.into_iter().map(fence).collect()
}

/// Ends every run of these jobs that has not ended.
pub(super) async fn abort(
    tx: &mut Tx,
    ns: &str,
    keys: &[String],
    now: Timestamp,
) -> Result<(), RowError> {
    sqlx::query(
        "WITH active AS MATERIALIZED (
           SELECT key, scheduled_for FROM sched_run
           WHERE ns = $1 AND key = ANY($2) AND finished_at IS NULL
           ORDER BY key, scheduled_for FOR UPDATE)
         UPDATE sched_run AS r SET state = 'done', finished_at = $3, outcome = $4
         FROM active AS a WHERE r.ns = $1 AND r.key = a.key AND r.scheduled_for = a.scheduled_for",
    )
    .bind(ns)
    .bind(keys)
    .bind(now.as_millisecond())
    .bind(outcome_to_text(&Outcome::Aborted))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Locks the runs of a job that have not ended; returns how many.
pub(super) async fn lock_active(tx: &mut Tx, ns: &str, key: &JobKey) -> Result<u32, RowError> {
    let active = sqlx::query(
        "SELECT FROM sched_run WHERE ns = $1 AND key = $2 AND finished_at IS NULL
         ORDER BY scheduled_for FOR UPDATE",
    )
    .bind(ns)
    .bind(key.as_str())
    .fetch_all(&mut **tx)
    .await?;
    Ok(active.len() as u32)
}

/// Sets until when the claims of runs hold that are locked.
pub(super) async fn renew(
    tx: &mut Tx,
    ns: &str,
    places: &[Place],
    lease_until: Timestamp,
) -> Result<(), RowError> {
    let (keys, times) = columns(places);
    sqlx::query(
        "UPDATE sched_run AS r SET lease_until = $4
         FROM unnest($2::text[], $3::int8[]) AS n (key, scheduled_for)
         CROSS JOIN LATERAL (
           SELECT ctid FROM sched_run
           WHERE ns = $1 AND key = n.key AND scheduled_for = n.scheduled_for OFFSET 0) AS at
         WHERE r.ctid = at.ctid",
    )
    .bind(ns)
    .bind(keys)
    .bind(times)
    .bind(lease_until.as_millisecond())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Locks those of the runs that are still the owner's.
///
/// The subquery makes the planner look each of them up: of a table that has grown from nothing
/// within seconds it has no statistics, and would read it whole. So it is with the updates below.
/// By `state`, since `finished_at` would let it choose an index of all that is at work.
pub(super) async fn lock_mine(
    tx: &mut Tx,
    ns: &str,
    owner: &str,
    runs: impl Iterator<Item = &RunId> + Clone,
) -> Result<HashSet<Place>, RowError> {
    let places: Vec<Place> = runs.clone().map(place).collect();
    let (keys, times) = columns(&places);
    let fences: Vec<i64> = runs.map(|run| run.fence as i64).collect();
    let mine: Vec<Place> = sqlx::query_as(
        "SELECT r.key, r.scheduled_for
         FROM (
           SELECT * FROM unnest($3::text[], $4::int8[], $5::int8[]) AS n (key, scheduled_for, fence)
           ORDER BY key COLLATE \"C\", scheduled_for) AS n
         CROSS JOIN LATERAL (
           SELECT key, scheduled_for FROM sched_run
           WHERE ns = $1 AND key = n.key AND scheduled_for = n.scheduled_for
             AND fence = n.fence AND owner = $2 AND state <> 'done' FOR UPDATE) AS r",
    )
    .bind(ns)
    .bind(owner)
    .bind(keys)
    .bind(times)
    .bind(fences)
    .fetch_all(&mut **tx)
    .await?;
    Ok(mine.into_iter().collect())
}

/// Gives runs back that are locked.
pub(super) async fn release(
    tx: &mut Tx,
    ns: &str,
    places: &[Place],
    now: Timestamp,
) -> Result<(), RowError> {
    let (keys, times) = columns(places);
    sqlx::query(
        "UPDATE sched_run AS r SET state = 'released', lease_until = $4
         FROM unnest($2::text[], $3::int8[]) AS n (key, scheduled_for)
         CROSS JOIN LATERAL (
           SELECT ctid FROM sched_run
           WHERE ns = $1 AND key = n.key AND scheduled_for = n.scheduled_for OFFSET 0) AS at
         WHERE r.ctid = at.ctid",
    )
    .bind(ns)
    .bind(keys)
    .bind(times)
    .bind(now.as_millisecond())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends runs that are locked and lets their jobs go on, of which `jobs` are locked; returns when
/// the first of them is due.
pub(super) async fn end(
    tx: &mut Tx,
    ns: &str,
    mut jobs: HashMap<String, Option<JobRow>>,
    ends: Vec<End>,
    now: Timestamp,
) -> Result<Option<Timestamp>, RowError> {
    if ends.is_empty() {
        return Ok(None);
    }
    let places: Vec<Place> = ends.iter().map(|end| end.place.clone()).collect();
    let (keys, times) = columns(&places);
    let outcomes = ends.iter().map(|end| outcome_to_text(&end.outcome));
    sqlx::query(
        "UPDATE sched_run AS r SET state = 'done', finished_at = $5, outcome = n.outcome
         FROM unnest($2::text[], $3::int8[], $4::text[]) AS n (key, scheduled_for, outcome)
         CROSS JOIN LATERAL (
           SELECT ctid FROM sched_run
           WHERE ns = $1 AND key = n.key AND scheduled_for = n.scheduled_for OFFSET 0) AS at
         WHERE r.ctid = at.ctid",
    )
    .bind(ns)
    .bind(&keys)
    .bind(times)
    .bind(outcomes.map(storable).collect::<Vec<_>>())
    .bind(now.as_millisecond())
    .execute(&mut **tx)
    .await?;

    // There was no such job when the others were locked, but it may have been put in meanwhile,
    // and have counted the run.
    let missing = keys.into_iter().filter(|key| !jobs.contains_key(*key));
    let missing: Vec<&str> = missing.collect();
    if !missing.is_empty() {
        jobs.extend(lock_all(tx, ns, &missing).await?);
    }
    let ended: HashSet<&str> = ends.iter().map(|end| &*end.place.0).collect();
    let jobs = jobs.into_iter().filter(|(key, _)| ended.contains(&**key));
    let mut jobs: HashMap<String, JobRow> =
        jobs.filter_map(|(key, row)| Some((key, row?))).collect();
    count_active(tx, ns, jobs.values_mut()).await?;
    go_on(&mut jobs, ends, now);
    save_states(tx, ns, jobs.values()).await
}

fn columns(places: &[Place]) -> (Vec<&str>, Vec<i64>) {
    places.iter().map(|(key, time)| (&**key, *time)).unzip()
}
