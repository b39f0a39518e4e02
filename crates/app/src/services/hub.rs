use std::time::Duration;

use async_trait::async_trait;
use steadfast_lifecycle::{Health, Service, ServiceError, ServiceSpec, StartContext, StopContext};

use super::{assembly::Assembly, slot::Slot};

/// How long connected clients get to hear of the shutdown.
const GRACE: Duration = Duration::from_secs(3);

/// The WebSocket hub.
#[derive(Debug)]
pub(super) struct HubService {
    assembly: Slot<Assembly>,
}

impl HubService {
    pub(super) fn new(assembly: Slot<Assembly>) -> Self {
        Self { assembly }
    }
}

#[async_trait]
impl Service for HubService {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("hub").requires("database")
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        self.assembly.get()?.hub.start().await;
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        if let Some(assembly) = self.assembly.peek() {
            let report = assembly.hub.stop(GRACE).await;
            tracing::info!(
                graceful = report.graceful,
                forced = report.forced,
                "clients told"
            );
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        match self.assembly.peek() {
            Some(assembly) if assembly.hub.is_running() => Health::healthy(),
            _ => Health::unhealthy("the hub does not run"),
        }
    }
}
