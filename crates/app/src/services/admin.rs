use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusHandle;
use steadfast_lifecycle::{
    Health, LifecycleHandle, Service, ServiceError, ServiceSpec, StartContext, StopContext,
};

use super::{
    assembly::Assembly,
    background::Background,
    listener::Listener,
    monitor::{self, WatchedDatabase},
    slot::Slot,
};
use crate::{alerts::Alerts, http::admin_router};

/// The admin listener: first up and last down, so that the probes answer throughout.
#[derive(Debug)]
pub(super) struct AdminService {
    listener: Listener,
    lifecycle: LifecycleHandle,
    metrics: PrometheusHandle,
    assembly: Slot<Assembly>,
    watched: Option<(Arc<dyn WatchedDatabase>, Alerts)>,
    monitor: Background,
}

impl AdminService {
    pub(super) fn new(
        listen: SocketAddr,
        lifecycle: LifecycleHandle,
        metrics: PrometheusHandle,
        assembly: Slot<Assembly>,
    ) -> Self {
        Self {
            listener: Listener::new(listen),
            lifecycle,
            metrics,
            assembly,
            watched: None,
            monitor: Background::default(),
        }
    }

    /// Also looks for what is wrong, as long as it is up.
    pub(super) fn watching(mut self, database: Arc<dyn WatchedDatabase>, alerts: Alerts) -> Self {
        self.watched = Some((database, alerts));
        self
    }
}

#[async_trait]
impl Service for AdminService {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("admin")
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        let (lifecycle, assembly) = (self.lifecycle.clone(), self.assembly.clone());
        let metrics = self.metrics.clone();
        let render = move || {
            measure(&lifecycle, &assembly);
            metrics.run_upkeep();
            metrics.render()
        };
        let router = admin_router(self.lifecycle.clone(), render);
        let address = self.listener.start(router).await?;
        if let Some((database, alerts)) = self.watched.clone() {
            let lifecycle = self.lifecycle.clone();
            self.monitor
                .begin(|stop| monitor::watch(lifecycle, database, alerts, stop));
        }
        say!("probes and metrics at http://{address}");
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.monitor.end().await;
        self.listener.stop().await;
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}

/// Takes the figures that are read, not counted as they happen.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn measure(lifecycle: &LifecycleHandle, assembly: &Slot<Assembly>) {
    for service in &lifecycle.snapshot().services {
        let up = if service.state.is_up() { 1.0 } else { 0.0 };
        metrics::gauge!("steadfast_service_up", "service" => service.name.to_string()).set(up);
    }
    let Some(assembly) = assembly.peek() else {
        return;
    };
    for pool in &assembly.pools {
        let pool = pool.snapshot();
        for (state, connections) in [("idle", pool.idle), ("in_use", pool.open - pool.idle)] {
            let labels = [("pool", pool.name.clone()), ("state", state.to_owned())];
            metrics::gauge!("steadfast_database_connections", &labels).set(connections);
        }
    }
    let stats = assembly.hub.stats();
    metrics::gauge!("steadfast_hub_connections").set(stats.connections as f64);
    metrics::gauge!("steadfast_hub_subscriptions").set(stats.subscriptions as f64);
    metrics::counter!("steadfast_hub_delivered_total").absolute(stats.delivered);
    metrics::counter!("steadfast_hub_evicted_slow_total").absolute(stats.evicted_slow);
    metrics::counter!("steadfast_hub_evicted_silent_total").absolute(stats.evicted_silent);
}
