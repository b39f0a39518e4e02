//! A job for each user, in the user's own time zone: `cargo run --example job_per_user`.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use steadfast_scheduler::{
    Dialect, Fire, Job, JobError, JobHandler, MemoryJobStore, Scheduler, Spec,
};

struct Greeter;

#[async_trait::async_trait]
impl JobHandler for Greeter {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        println!("{} at {}", fire.key, fire.scheduled_for);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(MemoryJobStore::new());
    let scheduler = Scheduler::builder("greetings", store, Arc::new(Greeter)).build()?;
    scheduler.start().await;
    for (user, schedule, zone) in [
        ("user:1", "@every 1s", "UTC"),
        ("user:2", "*/2 * * * * *", "Asia/Tokyo"),
        ("user:3", "0 0 9 ? * MON-FRI", "America/New_York"),
    ] {
        let spec = Spec::parse(schedule, Dialect::Quartz6)?;
        println!("{user}: {}", spec.describe());
        let job = Job::new(user, spec, TimeZone::get(zone)?);
        scheduler.upsert(job).await?;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("{:?}", scheduler.shutdown(Duration::from_secs(1)).await);
    Ok(())
}
