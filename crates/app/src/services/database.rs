use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_clock::Clock;
use steadfast_db_init::{
    Backend, Database, DatabaseBuilder, MigrationSet, PostgresBackend, PostgresOptions,
    SqliteBackend, SqliteOptions,
};
use steadfast_lifecycle::{Health, Service, ServiceError, ServiceSpec, StartContext, StopContext};

use super::{
    assembly::Assembly, data_folder::DataFolder, instance_lock::InstanceLock, monitor, slot::Slot,
    stores::Stores,
};
use crate::{
    adapters::{ACCOUNT_MIGRATIONS, NOTIFICATION_MIGRATIONS, PRIVACY_MIGRATIONS},
    config::Config,
};

/// How long the database may take to close.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The database, and all that is built on its pools.
#[derive(Debug)]
pub(super) struct DatabaseService<B: Backend> {
    database: Arc<Database<B>>,
    stores: fn(&B::Pool, &Arc<dyn Clock>) -> anyhow::Result<Stores>,
    /// For a database that a process with another folder can reach too.
    instance: Option<InstanceLock>,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    assembly: Slot<Assembly>,
    folder: Mutex<Option<DataFolder>>,
}

impl<B: Backend> DatabaseService<B> {
    /// A service that holds the `instance`, if there is one, and opens the `stores` on the pool.
    pub(super) fn new(
        database: Arc<Database<B>>,
        stores: fn(&B::Pool, &Arc<dyn Clock>) -> anyhow::Result<Stores>,
        instance: Option<InstanceLock>,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        assembly: Slot<Assembly>,
    ) -> Self {
        Self {
            database,
            stores,
            instance,
            config,
            clock,
            assembly,
            folder: Mutex::default(),
        }
    }
}

#[async_trait]
impl<B: Backend> Service for DatabaseService<B> {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("database").start_timeout(self.config.start_timeout)
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        let folder = DataFolder::open(&self.config).map_err(ServiceError::permanent)?;
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
        let pool = self
            .database
            .initialize()
            .await
            .map_err(ServiceError::permanent)?;
        if let Some(instance) = &self.instance {
            instance.acquire().await.map_err(ServiceError::permanent)?;
        }
        let stores = (self.stores)(&pool, &self.clock).map_err(ServiceError::permanent)?;
        let assembly = Assembly::new(stores, &self.config, &self.clock);
        let assembly = assembly.map_err(ServiceError::permanent)?;
        // Before anybody is let in: the database may be older than what was erased from it.
        let erasures = assembly.erasures.clone().pause(Duration::ZERO);
        erasures.reapply().await.map_err(ServiceError::permanent)?;
        // Nothing is shown before it is known what is to be hidden.
        let read = assembly.privacy.refresh().await;
        read.map_err(ServiceError::permanent)?;
        self.assembly.fill(assembly);
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        drop(self.assembly.take());
        let report = self.database.close(CLOSE_WITHIN).await;
        if let Some(instance) = &self.instance {
            instance.release().await;
        }
        drop(
            self.folder
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if report.leaked > 0 {
            let detail = format!("{} connections were not given back", report.leaked);
            return Err(ServiceError::permanent(detail));
        }
        Ok(())
    }

    async fn health(&self) -> Health {
        // The stores' own experience comes first: it says more than one answer does.
        if let Some(assembly) = self.assembly.peek() {
            for pool in &assembly.pools {
                if let Err(refused) = pool.check().await {
                    return Health::unhealthy(refused);
                }
            }
        }
        if let Err(error) = self.database.ping().await {
            return Health::unhealthy(error.to_string());
        }
        if let Some(instance) = &self.instance
            && let Err(error) = instance.check().await
        {
            return Health::unhealthy(error.to_string());
        }
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        match folder.as_ref().map(DataFolder::check) {
            Some(Err(error)) => Health::unhealthy(error.to_string()),
            Some(Ok(())) | None => Health::healthy(),
        }
    }
}

/// The database in the file at `path`, not opened yet.
///
/// # Errors
///
/// If the path cannot be one of a database.
pub fn open_sqlite(
    path: &Path,
    config: &Config,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Database<SqliteBackend>> {
    let options = SqliteOptions::default().busy_timeout(config.database_busy_timeout);
    let backend = SqliteBackend::new(path, options)?;
    Ok(settings(backend, config, clock)?.build()?)
}

/// The database behind a `postgres://` URL, not opened yet.
///
/// # Errors
///
/// If the URL is not one.
pub fn open_postgres(
    url: &str,
    config: &Config,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Database<PostgresBackend>> {
    let backend = PostgresBackend::new(url, PostgresOptions::default())?;
    Ok(settings(backend, config, clock)?.build()?)
}

fn settings<B: Backend>(
    backend: B,
    config: &Config,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<DatabaseBuilder<B>> {
    Ok(Database::builder(backend)
        .migrations(migrations()?)
        .deadline(deadline(config))
        .failure_threshold(monitor::INITIALISATION_FAILURES)
        .clock(clock))
}

/// The tables of all crates, in one ledger.
///
/// # Errors
///
/// Never with the migrations that the crates name: a start checks them.
pub fn migrations() -> anyhow::Result<MigrationSet> {
    Ok(MigrationSet::new()
        .add("accounts", ACCOUNT_MIGRATIONS)?
        .add("scheduler", steadfast_scheduler::MIGRATIONS)?
        .add("notifications", NOTIFICATION_MIGRATIONS)?
        .add("privacy", PRIVACY_MIGRATIONS)?
        .add("lease", steadfast_lease::MIGRATIONS)?)
}

/// Shorter than the start as a whole, so that it is the cause that is told, not the time-out.
fn deadline(config: &Config) -> Duration {
    config.start_timeout.mul_f64(0.8)
}
