use std::time::Duration;

use async_trait::async_trait;
use metrics::gauge;
use steadfast_clock::Clock;
use steadfast_lifecycle::{Health, Service, ServiceError, ServiceSpec, StartContext, StopContext};
use steadfast_notifications::Deliverer;

use super::{assembly::Assembly, background::Background, restarts, slot::Slot};

/// How often the backlog is counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// What sends to the users' channels.
#[derive(Debug)]
pub(super) struct DeliveriesService {
    assembly: Slot<Assembly>,
    work: Background,
}

impl DeliveriesService {
    pub(super) fn new(assembly: Slot<Assembly>) -> Self {
        Self {
            assembly,
            work: Background::default(),
        }
    }
}

#[async_trait]
impl Service for DeliveriesService {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("deliveries")
            .requires("database")
            .restart(restarts::of_a_task())
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let assembly = self.assembly.get()?;
        let deliverer = assembly.deliverer.clone();
        let clock = assembly.clock.clone();
        // This process alone holds the data, so whoever had claimed something is dead.
        let released = deliverer.release().await.map_err(|error| {
            let is_transient = error.is_transient();
            restarts::start_failure(error, is_transient)
        })?;
        tracing::info!(released, "the deliveries are this process's");
        self.work
            .begin_supervised(cx.failure_reporter(), |stop| async move {
                let count = stop.run_until_cancelled(count(&deliverer, &*clock));
                tokio::join!(deliverer.run(stop.clone()), count);
            });
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.work.end().await;
        Ok(())
    }

    async fn health(&self) -> Health {
        if self.work.is_running() {
            Health::healthy()
        } else {
            Health::unhealthy("the deliverer does not run")
        }
    }
}

/// Keeps the figures of the backlog up to date, for ever.
async fn count(deliverer: &Deliverer, clock: &dyn Clock) {
    loop {
        match deliverer.backlog().await {
            Ok(backlog) => {
                gauge!("steadfast_deliveries_pending").set(backlog.pending as f64);
                gauge!("steadfast_deliveries_dead").set(backlog.dead as f64);
                let now = jiff::Timestamp::try_from(clock.wall()).unwrap_or_default();
                let overdue = backlog.oldest_due.map(|due| now.duration_since(due));
                let overdue = overdue.unwrap_or_default().as_secs_f64().max(0.0);
                gauge!("steadfast_deliveries_overdue_seconds").set(overdue);
            }
            Err(error) => tracing::debug!(%error, "the deliveries cannot be counted"),
        }
        tokio::time::sleep(COUNT_INTERVAL).await;
    }
}
