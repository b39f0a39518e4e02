use std::time::Duration;

use async_trait::async_trait;
use steadfast_lifecycle::{Health, Service, ServiceError, ServiceSpec, StartContext, StopContext};
use steadfast_notifications::ScheduleError;

use super::{assembly::Assembly, background::Background, restarts, slot::Slot};

/// How long notifications that are being stored get to finish.
const GRACE: Duration = Duration::from_secs(5);

/// The schedules of users: their jobs, and what keeps the jobs in line with the schedules.
#[derive(Debug)]
pub(super) struct SchedulerService {
    assembly: Slot<Assembly>,
    sync: Background,
}

impl SchedulerService {
    pub(super) fn new(assembly: Slot<Assembly>) -> Self {
        Self {
            assembly,
            sync: Background::default(),
        }
    }
}

#[async_trait]
impl Service for SchedulerService {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("scheduler")
            .requires("database")
            .restart(restarts::of_a_task())
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let assembly = self.assembly.get()?;
        // Before the first fire: a schedule that was changed just before a crash must not fire
        // as it was.
        let sync = assembly.schedules.job_sync();
        let done = sync.reconcile().await.map_err(|error| {
            let is_transient = matches!(
                &error,
                ScheduleError::Store { source, .. } if source.is_transient()
            );
            restarts::start_failure(error, is_transient)
        })?;
        tracing::info!(
            synced = done.synced,
            failed = done.failed,
            "jobs follow the schedules"
        );
        assembly.scheduler.start().await;
        let (sync, scheduler) = (sync.clone(), assembly.scheduler.clone());
        let reporter = cx.failure_reporter();
        self.sync
            .begin_supervised(cx.failure_reporter(), |stop| async move {
                tokio::select! {
                    () = sync.run(stop) => {}
                    () = scheduler.died() => reporter.failed(restarts::driver_died()),
                }
            });
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.sync.end().await;
        if let Some(assembly) = self.assembly.peek() {
            let report = assembly.scheduler.shutdown(GRACE).await;
            tracing::info!(?report, "scheduler shut down");
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        match self.assembly.peek() {
            Some(assembly) if assembly.scheduler.is_running().await => Health::healthy(),
            _ => Health::unhealthy("the scheduler does not run"),
        }
    }
}
