//! Jobs put in, changed and taken out, while others are there.

use std::{error::Error, rc::Rc, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use steadfast_scheduler::{
    Dialect, Fire, Job, JobError, JobHandler, JobKey, MemoryJobStore, Scheduler, Spec, SpecError,
};
use tokio::runtime::{Builder, Runtime};
use tokio_cron_scheduler::{JobScheduler, JobSchedulerError};

use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::timed,
};

/// How many jobs of ours are there all the time, and how many of the peer's.
const PRESENT: u64 = 100_000;
const PRESENT_PEER: u64 = 1_000;

/// How many are put in, changed or taken out in one sample.
const OURS: u64 = 10_000;
const PEERS: u64 = 1_000;

const NOTE: &str = "Ours in `MemoryJobStore`, among 100 000 others, every job with a key and a \
     zone; the peer's among 1 000 others, in UTC. Replacing is removing and adding with the peer.";

pub(super) fn insert() -> Result<Case, Box<dyn Error>> {
    case(Change::Insert, 1_000.0)
}

pub(super) fn replace() -> Result<Case, Box<dyn Error>> {
    case(Change::Replace, 1_500.0)
}

pub(super) fn remove() -> Result<Case, Box<dyn Error>> {
    case(Change::Remove, 1_000.0)
}

#[derive(Clone, Copy, PartialEq)]
enum Change {
    Insert,
    Replace,
    Remove,
}

fn case(change: Change, within: f64) -> Result<Case, Box<dyn Error>> {
    let case = Case::new(ours(change)?.within(within)).against(peers(change)?);
    Ok(case.sampled(Sampling::FEW).note(NOTE))
}

/// A handler that has nothing to do.
pub(super) struct Idle;

#[async_trait]
impl JobHandler for Idle {
    async fn run(&self, _: Fire) -> Result<(), JobError> {
        Ok(())
    }
}

/// Twice a day at most, of many, at the hour of a key.
pub(super) fn job(key: JobKey, number: u64, berlin: &TimeZone) -> Result<Job, SpecError> {
    let expression = format!("{} {} * * *", number % 60, number / 60 % 24);
    let spec = Spec::parse(&expression, Dialect::Posix5)?;
    Ok(Job::new(key, spec, berlin.clone()))
}

fn key(number: u64) -> JobKey {
    format!("user:{number}").into()
}

fn ours(change: Change) -> Result<Contender, Box<dyn Error>> {
    let runtime = runtime()?;
    let berlin = TimeZone::get("Europe/Berlin")?;
    let store = Arc::new(MemoryJobStore::new());
    let scheduler = Scheduler::builder("bench", store, Arc::new(Idle)).build()?;
    let jobs = |keys: std::ops::Range<u64>, shift| -> Result<Vec<Job>, SpecError> {
        keys.map(|number| job(key(number), number + shift, &berlin))
            .collect()
    };
    for job in jobs(0..PRESENT, 0)? {
        runtime.block_on(scheduler.upsert(job))?;
    }
    let range = PRESENT..PRESENT + OURS;
    let (first, second) = (jobs(range.clone(), 0)?, jobs(range, 1)?);
    let sampler = move |_| {
        let upsert = async |jobs: Vec<Job>| {
            for job in jobs {
                scheduler.upsert(job).await.expect("a job is stored");
            }
        };
        let remove = async || {
            for job in &first {
                scheduler.remove(&job.key).await.expect("a job is removed");
            }
        };
        let (first, second) = (first.clone(), second.clone());
        let inserting = timed(|| runtime.block_on(upsert(first)));
        let mut replacing = Duration::ZERO;
        if change == Change::Replace {
            replacing = timed(|| runtime.block_on(upsert(second)));
        }
        let removing = timed(|| runtime.block_on(remove()));
        match change {
            Change::Insert => inserting,
            Change::Replace => replacing,
            Change::Remove => removing,
        }
    };
    let name = "steadfast-scheduler Scheduler";
    Ok(Contender::new(name, Box::new(sampler)).exactly(OURS))
}

fn peers(change: Change) -> Result<Contender, Box<dyn Error>> {
    let runtime = runtime()?;
    let scheduler = Rc::new(runtime.block_on(JobScheduler::new())?);
    for number in 0..PRESENT_PEER {
        runtime.block_on(scheduler.add(peer_job(number)?))?;
    }
    let sampler = move |_| {
        let jobs = |shift| (0..PEERS).map(move |number| peer_job(number + shift));
        let jobs = |shift| jobs(shift).collect::<Result<Vec<_>, _>>().expect("jobs");
        let (first, second) = (jobs(0), jobs(1));
        let mut ids = Vec::new();
        let inserting = timed(|| {
            runtime.block_on(async {
                for job in first {
                    ids.push(scheduler.add(job).await.expect("a job is added"));
                }
            });
        });
        let mut replacing = Duration::ZERO;
        if change == Change::Replace {
            let replace = async {
                let mut new = Vec::new();
                for (id, job) in ids.iter().zip(second) {
                    scheduler.remove(id).await.expect("a job is removed");
                    new.push(scheduler.add(job).await.expect("a job is added"));
                }
                new
            };
            let mut new = Vec::new();
            replacing = timed(|| new = runtime.block_on(replace));
            ids = new;
        }
        let removing = timed(|| {
            runtime.block_on(async {
                for id in &ids {
                    scheduler.remove(id).await.expect("a job is removed");
                }
            });
        });
        match change {
            Change::Insert => inserting,
            Change::Replace => replacing,
            Change::Remove => removing,
        }
    };
    let name = versioned("tokio-cron-scheduler");
    Ok(Contender::new(name, Box::new(sampler))
        .threaded()
        .exactly(PEERS))
}

/// As [`job`].
pub(super) fn peer_job(number: u64) -> Result<tokio_cron_scheduler::Job, JobSchedulerError> {
    let expression = format!("0 {} {} * * *", number % 60, number / 60 % 24);
    tokio_cron_scheduler::Job::new_async(expression, |_, _| Box::pin(async {}))
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
