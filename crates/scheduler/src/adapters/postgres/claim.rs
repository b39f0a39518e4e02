use super::super::job_row::{AnyError, JobRow};
use super::{
    error::RowError,
    jobs::{Tx, lock_due, lock_of_expired_runs, save_states, set_aside},
    runs::{End, Expired, Place, abort, claim_again, end, insert, lock_expired, place},
};
use crate::{ClaimRequest, Job, JobKey, Outcome, Overlap, Run, RunId};

/// What a claim came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) runs: Vec<Run>,
    /// How many rows it dealt with, claimed or not.
    pub(super) rows: usize,
}

/// Claims what is due.
pub(super) async fn claim_jobs(tx: &mut Tx, request: &ClaimRequest) -> Result<Taken, RowError> {
    let ns = &request.namespace;
    let due = lock_due(tx, request).await?;
    let rows = due.len();
    let (mut jobs, mut unreadable) = (Vec::new(), Vec::new());
    for row in due {
        match row {
            Ok(row) => jobs.push(row),
            Err(RowError::Decode { key, source }) => {
                name_unreadable(
                    ns,
                    &key,
                    &source,
                    "a job cannot be read and is set aside until it is written anew",
                );
                unreadable.push(key);
            }
            Err(error) => return Err(error),
        }
    }
    if !unreadable.is_empty() {
        set_aside(tx, ns, &unreadable).await?;
    }
    let (starting, replaced) = start(request, &mut jobs);
    if !replaced.is_empty() {
        abort(tx, ns, &replaced, request.now).await?;
    }
    let mut runs = Vec::new();
    if !starting.is_empty() {
        let fences = insert(tx, request, &starting).await?;
        for mut run in starting {
            match fences.get(&place(&run.id)) {
                Some(fence) => {
                    run.id.fence = *fence;
                    runs.push(run);
                }
                // Claimed before: of a job that was removed and came back under an earlier clock.
                None => {
                    let job = jobs.iter_mut().find(|row| row.job.key == run.id.key);
                    job.into_iter()
                        .for_each(|row| row.state.end(&row.job, request.now));
                }
            }
        }
    }
    save_states(tx, ns, jobs.iter()).await?;
    Ok(Taken { runs, rows })
}

/// Takes the occurrences that fire now from the jobs, up to the limit; returns them, not fenced
/// yet, and the keys of the jobs whose runs they replace.
fn start(request: &ClaimRequest, jobs: &mut [JobRow]) -> (Vec<Run>, Vec<String>) {
    let (mut starting, mut replaced) = (Vec::new(), Vec::new());
    for row in jobs {
        let limit = request.limit - starting.len();
        let starts = row.state.claim(&row.job, request.now, request.grace, limit);
        if !starts.is_empty() && row.job.policy.overlap == Overlap::Replace {
            replaced.push(row.job.key.to_string());
        }
        starting.extend(starts.iter().map(|start| Run {
            id: RunId {
                key: row.job.key.clone(),
                scheduled_for: start.scheduled_for,
                fence: 0,
            },
            generation: row.generation,
            cause: start.cause,
            policy: row.job.policy.clone(),
        }));
    }
    (starting, replaced)
}

/// Claims runs whose lease has ended, or ends them where that is not allowed.
pub(super) async fn claim_expired(tx: &mut Tx, request: &ClaimRequest) -> Result<Taken, RowError> {
    let ns = &request.namespace;
    let jobs = lock_of_expired_runs(tx, request).await?;
    let keys = jobs.keys().map(String::as_str).collect();
    let expired = lock_expired(tx, request, keys).await?;
    let rows = expired.len();
    let (mut again, mut ends) = (Vec::<(Place, Run)>::new(), Vec::new());
    for run in expired {
        let job = jobs.get(&run.place.0).and_then(Option::as_ref);
        match decide(ns, run, job) {
            Ok(claimed) => again.push(claimed),
            Err(ended) => ends.push(ended),
        }
    }
    let mut runs = Vec::new();
    if !again.is_empty() {
        let places: Vec<Place> = again.iter().map(|(place, _)| place.clone()).collect();
        let fences = claim_again(tx, request, &places).await?;
        for (place, mut run) in again {
            if let Some(fence) = fences.get(&place) {
                run.id.fence = *fence;
                runs.push(run);
            }
        }
    }
    end(tx, ns, jobs, ends, request.now).await?;
    Ok(Taken { runs, rows })
}

/// Whether a run whose lease has ended is claimed again, not fenced yet, or how it ends.
fn decide(ns: &str, run: Expired, row: Option<&JobRow>) -> Result<(Place, Run), End> {
    let outcome = if run.released {
        Outcome::Superseded
    } else {
        Outcome::Abandoned
    };
    let place = run.place;
    let known = match run.readable {
        Ok(known) => known,
        Err(error) => {
            name_unreadable(ns, &place.0, &error, "a run cannot be read and is given up");
            return Err(End {
                place,
                outcome: Outcome::Abandoned,
            });
        }
    };
    let claims_again = |job: &&Job| job.claims_again(run.released, known.attempts);
    let row = row.filter(|row| row.generation == known.generation);
    let Some(job) = row.map(|row| &row.job).filter(claims_again) else {
        return Err(End { place, outcome });
    };
    let claimed = Run {
        id: RunId {
            key: JobKey::from(place.0.as_str()),
            scheduled_for: known.scheduled_for,
            fence: 0,
        },
        generation: known.generation,
        cause: known.cause,
        policy: job.policy.clone(),
    };
    Ok((place, claimed))
}

fn name_unreadable(ns: &str, key: &str, error: &AnyError, what: &'static str) {
    let error = &**error as &dyn std::error::Error;
    tracing::error!(namespace = ns, key, error, "{what}");
}
