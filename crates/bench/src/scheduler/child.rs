//! What a contender does in a process of its own.

use std::{
    collections::HashMap,
    env,
    error::Error,
    fs,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use steadfast_clock::{Clock, SystemClock};
use steadfast_scheduler::{
    Dialect, Fire, Job, JobError, JobHandler, JobState, MemoryJobStore, Scheduler, Spec,
};
use tokio::{runtime::Builder, time::sleep};
use tokio_cron_scheduler::JobScheduler;

use super::changes::{Idle, job, peer_job};

/// How long jobs have to be put in before they fall due.
const LEAD: Duration = Duration::from_secs(3);
const LEAD_OF_PEER: Duration = Duration::from_secs(6);

/// How long what has not fired is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the processor is watched while nothing is due.
const IDLE: Duration = Duration::from_secs(20);

/// How often each job of a sustained load fires.
const SECONDS: usize = 10;

/// Runs a role in a process of its own; returns the figures that it wrote.
pub(super) fn measure(
    role: &str,
    arguments: &[&str],
) -> Result<HashMap<String, f64>, Box<dyn Error>> {
    let output = Command::new(env::current_exe()?)
        .args(["--child", role])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the process for `{role}` ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let figure = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(figure).collect())
}

pub(super) fn play(role: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let number = |index: usize| -> Result<u64, Box<dyn Error>> {
        let argument = arguments.get(index).ok_or("an argument is missing")?;
        Ok(argument.parse()?)
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match role {
            "memory" => memory(number(0)?).await,
            "memory-peer" => memory_of_peer(number(0)?).await,
            "burst" => burst(number(0)?, number(1)?).await,
            "burst-peer" => burst_of_peer(number(0)?, number(1)?).await,
            "sustained" => sustained(number(0)?, number(1)?).await,
            "idle" => idle(number(0)?).await,
            "idle-peer" => idle_of_peer(number(0)?).await,
            _ => Err("no such role".into()),
        }
    })
}

async fn memory(jobs: u64) -> Result<(), Box<dyn Error>> {
    let berlin = TimeZone::get("Europe/Berlin")?;
    let store = Arc::new(MemoryJobStore::new());
    let scheduler = Scheduler::builder("bench", store, Arc::new(Idle)).build()?;
    scheduler.start().await;
    let before = resident()?;
    for number in 0..jobs {
        let key = format!("user:{number}").into();
        scheduler.upsert(job(key, number, &berlin)?).await?;
    }
    println!("bytes={}", (resident()? - before) / jobs as f64);
    Ok(())
}

async fn memory_of_peer(jobs: u64) -> Result<(), Box<dyn Error>> {
    let scheduler = JobScheduler::new().await?;
    scheduler.start().await?;
    let before = resident()?;
    for number in 0..jobs {
        scheduler.add(peer_job(number)?).await?;
    }
    println!("bytes={}", (resident()? - before) / jobs as f64);
    Ok(())
}

async fn burst(jobs: u64, concurrency: u64) -> Result<(), Box<dyn Error>> {
    let lateness = Arc::new(Lateness::new(jobs as usize));
    let due = in_whole_seconds(LEAD)?;
    let scheduler = Scheduler::builder(
        "bench",
        Arc::new(MemoryJobStore::new()),
        Arc::new(Noting {
            lateness: lateness.clone(),
            shifts: Vec::new(),
        }),
    );
    let scheduler = scheduler.max_concurrency(concurrency as usize).build()?;
    scheduler.start().await;
    let spec = Spec::parse(&once_at(due), Dialect::Quartz6)?;
    for number in 0..jobs {
        let job = Job::new(format!("user:{number}"), spec.clone(), TimeZone::UTC);
        scheduler.upsert(job).await?;
    }
    sleep_until(due).await?;
    lateness.wait().await;
    lateness.print();
    Ok(())
}

async fn burst_of_peer(jobs: u64, channel: u64) -> Result<(), Box<dyn Error>> {
    let lateness = Arc::new(Lateness::new(jobs as usize));
    let due = in_whole_seconds(LEAD_OF_PEER)?;
    let scheduler = match channel {
        0 => JobScheduler::new().await?,
        size => JobScheduler::new_with_channel_size(size as usize).await?,
    };
    scheduler.start().await?;
    for _ in 0..jobs {
        let lateness = lateness.clone();
        let job = tokio_cron_scheduler::Job::new_async(once_at(due), move |_, _| {
            let lateness = lateness.clone();
            Box::pin(async move { lateness.note(due) })
        })?;
        scheduler.add(job).await?;
    }
    sleep_until(due).await?;
    lateness.wait().await;
    lateness.print();
    Ok(())
}

async fn sustained(jobs: u64, concurrency: u64) -> Result<(), Box<dyn Error>> {
    let lateness = Arc::new(Lateness::new(jobs as usize * SECONDS));
    let spec = Spec::parse("* * * * * ?", Dialect::Quartz6)?;
    let jobs = (0..jobs).map(|number| {
        Job::new(format!("user:{number}"), spec.clone(), TimeZone::UTC)
            .jitter(Duration::from_millis(999))
    });
    let jobs: Vec<Job> = jobs.collect();
    let handler = Noting {
        lateness: lateness.clone(),
        shifts: jobs.iter().map(shift_of).collect(),
    };
    let store = Arc::new(MemoryJobStore::new());
    let scheduler = Scheduler::builder("bench", store, Arc::new(handler));
    let scheduler = scheduler.max_concurrency(concurrency as usize).build()?;
    for job in jobs {
        scheduler.upsert(job).await?;
    }
    scheduler.start().await;
    lateness.wait().await;
    lateness.print();
    Ok(())
}

async fn idle(jobs: u64) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(MemoryJobStore::new());
    let scheduler = Scheduler::builder("bench", store, Arc::new(Idle)).build()?;
    scheduler.start().await;
    let spec = Spec::parse(&format!("0 0 1 {} *", far_month()?), Dialect::Posix5)?;
    for number in 0..jobs {
        let job = Job::new(format!("user:{number}"), spec.clone(), TimeZone::UTC);
        scheduler.upsert(job).await?;
    }
    watch_processor().await;
    Ok(())
}

async fn idle_of_peer(jobs: u64) -> Result<(), Box<dyn Error>> {
    let scheduler = JobScheduler::new().await?;
    scheduler.start().await?;
    let expression = format!("0 0 0 1 {} *", far_month()?);
    for _ in 0..jobs {
        let job =
            tokio_cron_scheduler::Job::new_async(expression.as_str(), |_, _| Box::pin(async {}))?;
        scheduler.add(job).await?;
    }
    watch_processor().await;
    Ok(())
}

async fn watch_processor() {
    sleep(Duration::from_secs(2)).await;
    let before = processor_time();
    sleep(IDLE).await;
    let used = processor_time() - before;
    println!("percent={}", used / IDLE.as_secs_f64() * 100.0);
}

/// Notes how late it is called.
struct Noting {
    lateness: Arc<Lateness>,
    /// By how much jitter has each job start later, by its number; nothing if there is none.
    shifts: Vec<SignedDuration>,
}

#[async_trait]
impl JobHandler for Noting {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        let number = fire.key.as_str().trim_start_matches("user:");
        let number: usize = number.parse().map_err(JobError::new)?;
        let shift = self.shifts.get(number).copied().unwrap_or_default();
        self.lateness.note(fire.scheduled_for + shift);
        Ok(())
    }
}

/// How late things happened, in microseconds, up to the number expected.
struct Lateness {
    noted: AtomicUsize,
    micros: Vec<AtomicI64>,
}

impl Lateness {
    fn new(expected: usize) -> Self {
        Self {
            noted: AtomicUsize::new(0),
            micros: (0..expected).map(|_| AtomicI64::new(0)).collect(),
        }
    }

    fn note(&self, due: Timestamp) {
        let index = self.noted.fetch_add(1, Ordering::Relaxed);
        let late = now().map_or(i64::MAX, |now| {
            i64::try_from(now.duration_since(due).as_micros()).unwrap_or(i64::MAX)
        });
        if let Some(micros) = self.micros.get(index) {
            micros.store(late, Ordering::Release);
        }
    }

    /// Waits until everything has happened, or nothing happens any more.
    async fn wait(&self) {
        let (mut seen, mut still) = (0, SystemClock.monotonic());
        while seen < self.micros.len() && still.elapsed() < PATIENCE {
            sleep(Duration::from_millis(100)).await;
            let noted = self.noted.load(Ordering::Relaxed);
            if noted > seen {
                (seen, still) = (noted, SystemClock.monotonic());
            }
        }
    }

    fn print(&self) {
        let noted = self.noted.load(Ordering::Relaxed);
        let taken = noted.min(self.micros.len());
        let micros = self.micros[..taken].iter();
        let mut micros: Vec<_> = micros.map(|it| it.load(Ordering::Acquire)).collect();
        micros.sort_unstable();
        let at = |share: f64| {
            let index = (share * (taken.max(1) - 1) as f64).round() as usize;
            micros.get(index).copied().unwrap_or_default() as f64 / 1e3
        };
        println!("lost={}", self.micros.len() - taken);
        println!("extra={}", noted - taken);
        println!("p50={}\np99={}\nmax={}", at(0.5), at(0.99), at(1.0));
    }
}

async fn sleep_until(due: Timestamp) -> Result<(), Box<dyn Error>> {
    let lead = Duration::try_from(due.duration_since(now()?));
    sleep(lead.map_err(|_| "the jobs were not put in before they fell due")?).await;
    Ok(())
}

/// By how much a job's jitter has it start later.
fn shift_of(job: &Job) -> SignedDuration {
    let state = JobState {
        next_fire: Some(Timestamp::UNIX_EPOCH),
        ..JobState::default()
    };
    let due = state.due_at(job).unwrap_or(Timestamp::UNIX_EPOCH);
    due.duration_since(Timestamp::UNIX_EPOCH)
}

/// The whole second after this time.
fn in_whole_seconds(lead: Duration) -> Result<Timestamp, Box<dyn Error>> {
    Ok(Timestamp::from_second((now()? + lead).as_second() + 1)?)
}

fn once_at(due: Timestamp) -> String {
    let at = TimeZone::UTC.to_datetime(due);
    let (second, minute, hour) = (at.second(), at.minute(), at.hour());
    format!("{second} {minute} {hour} {} {} ?", at.day(), at.month())
}

/// Half a year away.
fn far_month() -> Result<i8, Box<dyn Error>> {
    Ok((TimeZone::UTC.to_datetime(now()?).month() + 5) % 12 + 1)
}

fn now() -> Result<Timestamp, jiff::Error> {
    Timestamp::try_from(SystemClock.wall())
}

/// Bytes of this process that are in memory.
fn resident() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes
        .ok_or("the system does not tell")?
        .parse::<f64>()?
        * 1024.0)
}

/// Seconds that this process has used the processor.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
