//! The service's parts, in the order in which they start; they stop in reverse, so that the
//! database closes last.
//!
//! ```text
//! admin                         probes and metrics, from the very beginning
//! database ── hub ── outbox ──┐
//!     ├────── scheduler ──────┼── http
//!     └────── privacy ────────┘   (wanted, not required)
//! ```

mod admin;
mod assembly;
mod background;
mod data_folder;
mod database;
mod http;
mod hub;
mod listener;
mod measured;
mod outbox;
mod privacy;
mod scheduler;
mod slot;

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use steadfast_clock::Clock;
use steadfast_lifecycle::Lifecycle;

use self::{
    admin::AdminService, assembly::Assembly, http::HttpService, hub::HubService,
    outbox::OutboxService, privacy::PrivacyService, scheduler::SchedulerService, slot::Slot,
};
use crate::config::{Config, DatabaseUrl};

pub use self::data_folder::DataFolder;
pub use self::database::{CLOSE_WITHIN, open_postgres, open_sqlite};

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
        .start_timeout(config.start_timeout);
    let handle = builder.handle();
    let builder = builder.service(Arc::new(AdminService::new(
        config.admin_listen,
        handle,
        metrics,
        assembly.clone(),
    )));
    let builder = match &config.database {
        DatabaseUrl::Sqlite(path) => builder.service(Arc::new(database::SqliteService::new(
            open_sqlite(path, &config, clock.clone())?,
            config.clone(),
            clock.clone(),
            assembly.clone(),
        ))),
        DatabaseUrl::Postgres(url) => builder.service(Arc::new(database::PostgresService::new(
            open_postgres(url, &config, clock.clone())?,
        ))),
    };
    let lifecycle = builder
        .service(Arc::new(HubService::new(assembly.clone())))
        .service(Arc::new(SchedulerService::new(assembly.clone())))
        .service(Arc::new(OutboxService::new(assembly.clone())))
        .service(Arc::new(PrivacyService::new(assembly.clone())))
        .service(Arc::new(HttpService::new(config, clock, assembly)))
        .build()?;
    Ok(lifecycle)
}
