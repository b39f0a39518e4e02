//! What the databases have in common of claiming and ending many runs at once.

use std::collections::HashMap;

use jiff::Timestamp;

use super::job_row::JobRow;
use crate::{ClaimRequest, LastRun, Outcome, Overlap, Run, RunId};

/// A run by its primary key, as far as it is not the namespace.
pub(super) type Place = (String, i64);

/// The end of a run that is still its owner's.
#[derive(Debug)]
pub(super) struct End {
    pub(super) place: Place,
    pub(super) outcome: Outcome,
}

pub(super) fn place(id: &RunId) -> Place {
    (id.key.to_string(), id.scheduled_for.as_millisecond())
}

/// Takes the occurrences that fire now from the jobs, up to a limit; returns them, not fenced
/// yet, and the keys of the jobs whose runs they replace.
pub(super) fn start(
    request: &ClaimRequest,
    limit: usize,
    jobs: &mut [JobRow],
) -> (Vec<Run>, Vec<String>) {
    let (mut starting, mut replaced) = (Vec::new(), Vec::new());
    for row in jobs {
        let limit = limit - starting.len();
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

/// Gives the runs that were inserted their fences; those that have none had been claimed before,
/// of a job that was removed and came back under an earlier clock.
pub(super) fn fence(
    request: &ClaimRequest,
    starting: Vec<Run>,
    fences: &HashMap<Place, u64>,
    jobs: &mut [JobRow],
) -> Vec<Run> {
    let mut runs = Vec::with_capacity(starting.len());
    for mut run in starting {
        if let Some(fence) = fences.get(&place(&run.id)) {
            run.id.fence = *fence;
            runs.push(run);
        } else if let Some(row) = jobs.iter_mut().find(|row| row.job.key == run.id.key) {
            row.state.end(&row.job, request.now);
        }
    }
    runs
}

/// Lets jobs go on whose runs have ended. How many are at work had been counted without those.
pub(super) fn go_on(jobs: &mut HashMap<String, JobRow>, ends: Vec<End>, now: Timestamp) {
    for End { place, .. } in &ends {
        if let Some(row) = jobs.get_mut(&place.0) {
            row.state.running += 1;
        }
    }
    for End { place, outcome } in ends {
        let Some(row) = jobs.get_mut(&place.0) else {
            continue;
        };
        row.state.end(&row.job, now);
        if let Ok(scheduled_for) = Timestamp::from_millisecond(place.1)
            && outcome != Outcome::Superseded
        {
            row.last = Some(LastRun {
                scheduled_for,
                finished_at: now,
                outcome,
            });
        }
    }
}
