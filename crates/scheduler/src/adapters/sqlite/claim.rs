use super::super::job_row::JobRow;
use super::rows::{
    RowError, RunRow, Tx, abort_runs, end_run, end_unreadable_run, insert_run, take_numbers,
};
use crate::{ClaimRequest, JobKey, Outcome, Overlap, Run, RunId};

/// Claims what is due of a job.
pub(super) async fn claim_job(
    tx: &mut Tx,
    request: &ClaimRequest,
    mut row: JobRow,
    runs: &mut Vec<Run>,
) -> Result<(), RowError> {
    let ns = &request.namespace;
    let limit = request.limit - runs.len();
    let starts = row.state.claim(&row.job, request.now, request.grace, limit);
    if !starts.is_empty() {
        if row.job.policy.overlap == Overlap::Replace {
            abort_runs(tx, ns, &row.job.key, request.now).await?;
        }
        let fence = take_numbers(tx, ns, starts.len()).await?;
        for (start, fence) in starts.iter().zip(fence..) {
            let run = Run {
                id: RunId {
                    key: row.job.key.clone(),
                    scheduled_for: start.scheduled_for,
                    fence,
                },
                generation: row.generation,
                cause: start.cause,
                policy: row.job.policy.clone(),
            };
            if insert_run(tx, request, &run).await? {
                runs.push(run);
            } else {
                row.state.end(&row.job, request.now);
            }
        }
    }
    row.save_state(tx, ns).await?;
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
                end_run(tx, ns, &expired.id, &outcome, request.now).await?;
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
