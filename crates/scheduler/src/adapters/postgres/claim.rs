use super::super::{
    batch::{End, Place, fence, start},
    job_row::{AnyError, JobRow},
};
use super::{
    error::RowError,
    jobs::{Tx, lock_due, lock_of_expired_runs, save_states, set_aside},
    runs::{Expired, abort, claim_again, end, insert, lock_expired},
};
use crate::{ClaimRequest, Job, JobKey, Outcome, Run, RunId};

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
    let (starting, replaced) = start(request, request.limit, &mut jobs);
    if !replaced.is_empty() {
        abort(tx, ns, &replaced, request.now).await?;
    }
    let fences = insert(tx, request, &starting).await?;
    let runs = fence(request, starting, &fences, &mut jobs);
    save_states(tx, ns, jobs.iter()).await?;
    Ok(Taken { runs, rows })
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
