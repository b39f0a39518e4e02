use std::time::Duration;

use async_trait::async_trait;
use steadfast_lifecycle::{Health, Service, ServiceError, ServiceSpec, StartContext, StopContext};
use steadfast_scheduler::SchedulerError;

use super::{assembly::Assembly, background::Background, restarts, slot::Slot};
use crate::adapters::privacy::plan;

/// How long a cleanup gets to finish its batch.
const GRACE: Duration = Duration::from_secs(5);

/// The privacy scheduler: cleanup every night, compliance every week.
#[derive(Debug)]
pub(super) struct PrivacyService {
    assembly: Slot<Assembly>,
    watch: Background,
}

impl PrivacyService {
    pub(super) fn new(assembly: Slot<Assembly>) -> Self {
        Self {
            assembly,
            watch: Background::default(),
        }
    }
}

#[async_trait]
impl Service for PrivacyService {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("privacy")
            .requires("database")
            .optional()
            .restart(restarts::of_privacy())
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let assembly = self.assembly.get()?;
        let recovered = assembly.privacy.recover().await;
        let cut_off = recovered.map_err(|error| {
            let is_transient = error.is_transient();
            restarts::start_failure(error, is_transient)
        })?;
        if cut_off > 0 {
            tracing::warn!(cut_off, "runs were cut off when their process died");
        }
        plan(&assembly.privacy_jobs).await.map_err(|error| {
            let is_transient = matches!(
                &error,
                SchedulerError::Store { source, .. } if source.is_transient()
            );
            restarts::start_failure(error, is_transient)
        })?;
        assembly.privacy_jobs.start().await;
        let (jobs, reporter) = (assembly.privacy_jobs.clone(), cx.failure_reporter());
        self.watch.begin(|stop| async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = jobs.died() => reporter.failed(restarts::driver_died()),
            }
        });
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.watch.end().await;
        if let Some(assembly) = self.assembly.peek() {
            assembly.privacy.interrupt();
            let report = assembly.privacy_jobs.shutdown(GRACE).await;
            tracing::info!(?report, "privacy scheduler shut down");
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        match self.assembly.peek() {
            Some(assembly) if assembly.privacy_jobs.is_running().await => Health::healthy(),
            _ => Health::unhealthy("the privacy scheduler does not run"),
        }
    }
}
