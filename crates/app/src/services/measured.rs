use async_trait::async_trait;
use steadfast_scheduler::{Cause, Fire, JobError, JobHandler};

/// Counts the fires on their way to the handler that does their work, and how late they were.
pub(super) struct Measured<H> {
    namespace: &'static str,
    handler: H,
}

impl<H> Measured<H> {
    pub(super) fn new(namespace: &'static str, handler: H) -> Self {
        Self { namespace, handler }
    }
}

#[async_trait]
impl<H: JobHandler> JobHandler for Measured<H> {
    async fn run(&self, fire: Fire) -> Result<(), JobError> {
        if fire.cause != Cause::Manual {
            metrics::histogram!("steadfast_fire_lateness_seconds", "jobs" => self.namespace)
                .record(fire.late);
        }
        let done = self.handler.run(fire).await;
        let outcome = if done.is_ok() { "succeeded" } else { "failed" };
        metrics::counter!(
            "steadfast_fires_total",
            "jobs" => self.namespace,
            "outcome" => outcome
        )
        .increment(1);
        done
    }
}
