//! What a scheduler takes in memory and time, and how late it is.

use std::error::Error;

use super::child::measure;
use crate::{
    figures::{Figures, Goal},
    machine::versioned,
    run::grouped,
};

type Outcome = Result<Figures, Box<dyn Error>>;

const OURS: &str = "steadfast-scheduler";

pub(super) fn memory() -> Outcome {
    let mut figures = Figures::default();
    for jobs in [100_000, 1_000_000] {
        let measured = measure("memory", &[&jobs.to_string()])?;
        let what = format!("a job, of {}", grouped(jobs));
        figures.add(OURS, what, measured["bytes"], "B");
        if jobs == 1_000_000 {
            figures.goal(Goal::AtMost(200.0));
        }
    }
    let jobs = 100_000;
    let measured = measure("memory-peer", &[&jobs.to_string()])?;
    let what = format!("a job, of {}", grouped(jobs));
    figures.add(&peer(), what, measured["bytes"], "B");
    Ok(figures.note(
        "Resident memory of a process after putting the jobs in, less that before. Keys like \
         `user:123456`, 1 440 schedules, one zone.",
    ))
}

pub(super) fn burst() -> Outcome {
    let mut figures = Figures::default();
    for jobs in [10_000, 20_000] {
        let ours = measure("burst", &[&jobs.to_string(), CONCURRENCY])?;
        let p99 = (jobs == 10_000).then_some(Goal::AtMost(25.0));
        add(&mut figures, OURS, jobs, &ours, p99);
    }
    let jobs = 20_000;
    let theirs = measure("burst-peer", &[&jobs.to_string(), "0"])?;
    add(&mut figures, &peer(), jobs, &theirs, None);
    let theirs = measure("burst-peer", &[&jobs.to_string(), "20000"])?;
    let name = peer() + ", channel of 20 000";
    add(&mut figures, &name, jobs, &theirs, None);
    Ok(figures.note(
        "From the second in which all fall due to the call of the handler. Ours with \
         `max_concurrency(4096)`. Percentiles are of what fired.",
    ))
}

/// How many runs of ours are at work at a time: what falls due at once should not wait.
const CONCURRENCY: &str = "4096";

fn add(
    figures: &mut Figures,
    contender: &str,
    jobs: u64,
    measured: &std::collections::HashMap<String, f64>,
    p99: Option<Goal>,
) {
    let jobs = grouped(jobs);
    figures.add(contender, format!("{jobs} due, lost"), measured["lost"], "");
    if contender == OURS {
        figures.goal(Goal::AtMost(0.0));
    }
    figures.add(
        contender,
        format!("{jobs} due, p50 late"),
        measured["p50"],
        "ms",
    );
    figures.add(
        contender,
        format!("{jobs} due, p99 late"),
        measured["p99"],
        "ms",
    );
    if let Some(goal) = p99 {
        figures.goal(goal);
    }
}

pub(super) fn sustained() -> Outcome {
    let measured = measure("sustained", &["10000", CONCURRENCY])?;
    let mut figures = Figures::default();
    figures.add(OURS, "fires in all", 100_000.0 - measured["lost"], "");
    figures.goal(Goal::AtLeast(100_000.0));
    figures.add(OURS, "p50 late", measured["p50"], "ms");
    figures.add(OURS, "p99 late", measured["p99"], "ms");
    figures.goal(Goal::AtMost(5.0));
    figures.add(OURS, "latest", measured["max"], "ms");
    Ok(figures.note(
        "10 000 jobs, every second, spread over it by `jitter(999 ms)`; late against the instant \
         with its jitter. The peer has no jitter, and looks twice a second.",
    ))
}

pub(super) fn idle() -> Outcome {
    let mut figures = Figures::default();
    let ours = measure("idle", &["1000000"])?;
    figures.add(OURS, "1 000 000 jobs", ours["percent"], "% of a core");
    figures.goal(Goal::AtMost(0.05));
    let theirs = measure("idle-peer", &["20000"])?;
    figures.add(&peer(), "20 000 jobs", theirs["percent"], "% of a core");
    Ok(figures.note("Processor time of a process, as the system counts it; nothing is due."))
}

fn peer() -> String {
    versioned("tokio-cron-scheduler")
}
