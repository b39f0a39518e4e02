//! The path of a database that is ready.

use std::{error::Error, sync::Arc};

use steadfast_db_init::{
    Backend, BackendError, Database, MigrationError, MigrationId, MigrationSet, PoolStats,
};
use tokio::{runtime::Builder, sync::OnceCell};

use crate::{
    harness::Case,
    machine::versioned,
    run::{alone, plainly},
};

pub(super) fn get() -> Result<Case, Box<dyn Error>> {
    let database = ready()?;
    let ours = plainly("steadfast-db-init Database::get", move || database.get());
    let cell = OnceCell::new_with(Some(Arc::new(())));
    let tokios = plainly(
        versioned("tokio") + " OnceCell<Arc<T>>::get, cloned",
        move || cell.get().cloned(),
    );
    Ok(Case::new(ours).against(tokios.at_most(1.3)))
}

pub(super) fn ensure() -> Result<Case, Box<dyn Error>> {
    let database: &'static Database<Nothing> = Box::leak(Box::new(ready()?));
    let ours = alone(
        "steadfast-db-init Database::ensure_initialized",
        async |_| {
            let _ = std::hint::black_box(database.ensure_initialized().await);
        },
    )?;
    let cell: &'static OnceCell<Arc<()>> =
        Box::leak(Box::new(OnceCell::new_with(Some(Arc::new(())))));
    let name = versioned("tokio") + " OnceCell<Arc<T>>::get_or_init, cloned";
    let tokios = alone(name, async |_| {
        let got = cell.get_or_init(async || Arc::new(())).await;
        std::hint::black_box(Arc::clone(got));
    })?;
    Ok(Case::new(ours).against(tokios.at_most(1.3)))
}

fn ready() -> Result<Database<Nothing>, Box<dyn Error>> {
    let database = Database::builder(Nothing).build()?;
    let runtime = Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(database.initialize())?;
    Ok(database)
}

/// A database that is always there.
struct Nothing;

#[async_trait::async_trait]
impl Backend for Nothing {
    type Pool = ();

    async fn connect(&self) -> Result<(), BackendError> {
        Ok(())
    }

    async fn ping(&self, (): &()) -> Result<(), BackendError> {
        Ok(())
    }

    async fn migrate(&self, (): &(), _: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        Ok(Vec::new())
    }

    async fn pending(&self, _: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        Ok(Vec::new())
    }

    fn stats(&self, (): &()) -> PoolStats {
        PoolStats::default()
    }

    async fn close(&self, (): &()) {}
}
