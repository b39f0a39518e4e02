use async_trait::async_trait;
use steadfast_lifecycle::{Health, Service, ServiceError, ServiceSpec, StartContext, StopContext};

use super::{assembly::Assembly, background::Background, restarts, slot::Slot};

/// The relay from the outbox to the connected clients.
#[derive(Debug)]
pub(super) struct OutboxService {
    assembly: Slot<Assembly>,
    relay: Background,
}

impl OutboxService {
    pub(super) fn new(assembly: Slot<Assembly>) -> Self {
        Self {
            assembly,
            relay: Background::default(),
        }
    }
}

#[async_trait]
impl Service for OutboxService {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("outbox")
            .requires("database")
            .requires("hub")
            .restart(restarts::of_a_task())
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let relay = self.assembly.get()?.relay.clone();
        // This process alone holds the data, so whoever had claimed something is dead.
        let released = relay.release().await.map_err(|error| {
            let is_transient = error.is_transient();
            restarts::start_failure(error, is_transient)
        })?;
        tracing::info!(released, "the outbox is this process's");
        self.relay
            .begin_supervised(cx.failure_reporter(), |stop| async move {
                relay.run(stop).await;
            });
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.relay.end().await;
        Ok(())
    }

    async fn health(&self) -> Health {
        if self.relay.is_running() {
            Health::healthy()
        } else {
            Health::unhealthy("the relay does not run")
        }
    }
}
