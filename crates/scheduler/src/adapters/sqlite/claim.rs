use super::super::{
    batch::{End, fence, place, start},
    job_row::JobRow,
};
use super::{
    jobs::{RowError, Tx, save_states, take_numbers},
    runs::{RunRow, abort_runs, end_runs, end_unreadable_run, insert_runs},
};
use crate::{ClaimRequest, JobKey, Outcome, Run};

/// Claims what is due of jobs.
pub(super) async fn claim_jobs(
    tx: &mut Tx,
    request: &ClaimRequest,
    mut jobs: Vec<JobRow>,
    runs: &mut Vec<Run>,
) -> Result<(), RowError> {
    let ns = &request.namespace;
    let limit = request.limit - runs.len();
    let (mut starting, replaced) = start(request, limit, &mut jobs);
    for key in replaced {
        abort_runs(tx, ns, &key.into(), request.now).await?;
    }
    if !starting.is_empty() {
        let first = take_numbers(tx, ns, starting.len()).await?;
        for (run, number) in starting.iter_mut().zip(first..) {
            run.id.fence = number;
        }
        let fences = insert_runs(tx, request, &starting).await?;
        runs.extend(fence(request, starting, &fences, &mut jobs));
    }
    save_states(tx, ns, jobs.iter()).await?;
    Ok(())
}

/// Claims runs whose lease has ended, or ends them where that is not allowed.
pub(super) async fn claim_again(
    tx: &mut Tx,
    request: &ClaimRequest,
    runs: &mut Vec<Run>,
) -> Result<(), RowError> {
    let ns = &request.namespace;
    for expired in RunRow::expired(tx, request).await? {
        let expired = match expired {
            Ok(expired) => expired,
            Err(error) => {
                give_up(tx, request, error).await?;
                continue;
            }
        };
        let row = JobRow::load_readable(tx, ns, &expired.id.key).await?;
        let job = row
            .filter(|row| row.generation == expired.generation)
            .map(|row| row.job)
            .filter(|job| job.claims_again(expired.released, expired.attempts));
        match job {
            Some(job) => {
                let fence = take_numbers(tx, ns, 1).await?;
                runs.push(expired.claim_again(tx, request, fence, &job).await?);
            }
            None => {
                let outcome = if expired.released {
                    Outcome::Superseded
                } else {
                    Outcome::Abandoned
                };
                let place = place(&expired.id);
                end_runs(tx, ns, vec![End { place, outcome }], request.now).await?;
            }
        }
    }
    Ok(())
}

/// Ends a run whose row cannot be read.
async fn give_up(tx: &mut Tx, request: &ClaimRequest, error: RowError) -> Result<(), RowError> {
    let (rowid, key) = name_unreadable(request, error, "a run cannot be read and is given up")?;
    end_unreadable_run(tx, &request.namespace, rowid, &key, request.now).await
}

/// Keeps a job whose row cannot be read from being due.
pub(super) async fn set_aside(
    tx: &mut Tx,
    request: &ClaimRequest,
    error: RowError,
) -> Result<(), RowError> {
    let what = "a job cannot be read and is set aside until it is written anew";
    let (rowid, _) = name_unreadable(request, error, what)?;
    sqlx::query("UPDATE sched_job SET due_at = NULL WHERE rowid = ?1")
        .bind(rowid)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn name_unreadable(
    request: &ClaimRequest,
    error: RowError,
    what: &'static str,
) -> Result<(i64, JobKey), RowError> {
    match error {
        RowError::Decode { rowid, key, source } => {
            tracing::error!(
                namespace = %request.namespace,
                key,
                error = &*source as &dyn std::error::Error,
                "{what}"
            );
            Ok((rowid, key.into()))
        }
        error => Err(error),
    }
}
