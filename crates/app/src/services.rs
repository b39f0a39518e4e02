//! The service's parts, in the order in which they start; they stop in reverse, so that the
//! database closes last.
//!
//! ```text
//! admin                         probes and metrics, from the very beginning
//! database ── hub ── outbox ──┐
//!     ├────── scheduler ──────┼── http
//!     ├────── deliveries ─────┤   (wanted, not required)
//!     └────── privacy ────────┘   (wanted, not required)
//! ```

mod admin;
mod assembly;
mod background;
mod data_folder;
mod database;
mod deliveries;
mod http;
mod hub;
mod instance_lock;
mod listener;
mod measured;
mod monitor;
mod outbox;
mod privacy;
mod restarts;
mod scheduler;
mod slot;
mod stores;

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use steadfast_clock::Clock;
use steadfast_lifecycle::{Lifecycle, Service};

use self::{
    admin::AdminService, assembly::Assembly, database::DatabaseService,
    deliveries::DeliveriesService, http::HttpService, hub::HubService, instance_lock::InstanceLock,
    monitor::WatchedDatabase, outbox::OutboxService, privacy::PrivacyService,
    scheduler::SchedulerService, slot::Slot, stores::Stores,
};
use crate::{
    alerts::Alerts,
    config::{Config, DatabaseUrl},
};

pub use self::data_folder::DataFolder;
pub use self::database::{CLOSE_WITHIN, migrations, open_postgres, open_sqlite};

/// How often each service is asked how it is: what `/readyz` says is that old at most.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Wires everything, and starts nothing.
///
/// # Errors
///
/// If the configuration asks for what cannot be built.
pub fn compose(
    config: Config,
    clock: Arc<dyn Clock>,
    metrics: PrometheusHandle,
) -> anyhow::Result<Lifecycle> {
    let config = Arc::new(config);
    let assembly: Slot<Assembly> = Slot::empty("database");
    let builder = Lifecycle::builder()
        .clock(clock.clone())
        .start_timeout(config.start_timeout)
        .probe_interval(PROBE_INTERVAL)
        .failure_threshold(monitor::FAILURES);
    let handle = builder.handle();
    let alerts = Alerts::new(clock.clone());
    let (database, watched, status): (Arc<dyn Service>, Arc<dyn WatchedDatabase>, _) =
        match &config.database {
            DatabaseUrl::Sqlite(path) => {
                let database = Arc::new(open_sqlite(path, &config, clock.clone())?);
                let (config, clock, assembly) = (config.clone(), clock.clone(), assembly.clone());
                let (own, stores) = (database.clone(), Stores::sqlite);
                let status = database.subscribe();
                let service = DatabaseService::new(own, stores, None, config, clock, assembly);
                (Arc::new(service), database, status)
            }
            DatabaseUrl::Postgres(url) => {
                let database = Arc::new(open_postgres(url, &config, clock.clone())?);
                let instance = Some(InstanceLock::new(url)?);
                let (config, clock, assembly) = (config.clone(), clock.clone(), assembly.clone());
                let (own, stores) = (database.clone(), Stores::postgres);
                let status = database.subscribe();
                let service = DatabaseService::new(own, stores, instance, config, clock, assembly);
                (Arc::new(service), database, status)
            }
        };
    let admin = AdminService::new(config.admin_listen, handle, metrics, assembly.clone());
    let builder = builder
        .service(Arc::new(admin.watching(watched, alerts.clone())))
        .service(database);
    let lifecycle = builder
        .service(Arc::new(HubService::new(assembly.clone())))
        .service(Arc::new(SchedulerService::new(assembly.clone())))
        .service(Arc::new(OutboxService::new(assembly.clone())))
        .service(Arc::new(DeliveriesService::new(assembly.clone())))
        .service(Arc::new(PrivacyService::new(assembly.clone())))
        .service(Arc::new(HttpService::new(
            config, clock, assembly, status, alerts,
        )))
        .build()?;
    Ok(lifecycle)
}
