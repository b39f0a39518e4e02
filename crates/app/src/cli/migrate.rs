use std::sync::Arc;

use anyhow::Context as _;
use steadfast_clock::SystemClock;
use steadfast_db_init::{Backend, Database};

use super::{ConfigArgs, FAILURE};
use crate::{
    config::{Config, DatabaseUrl},
    services::{CLOSE_WITHIN, DataFolder, open_postgres, open_sqlite},
    telemetry,
};

pub(super) fn run(args: &ConfigArgs, check: bool) -> anyhow::Result<u8> {
    let config = args.load()?;
    telemetry::log_to_stderr(&config.log, config.log_format);
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let clock = Arc::new(SystemClock);
    match &config.database {
        DatabaseUrl::Sqlite(path) => {
            runtime.block_on(migrate(open_sqlite(path, &config, clock)?, &config, check))
        }
        DatabaseUrl::Postgres(url) => {
            runtime.block_on(migrate(open_postgres(url, &config, clock)?, &config, check))
        }
    }
}

async fn migrate<B: Backend>(
    database: Database<B>,
    config: &Config,
    check: bool,
) -> anyhow::Result<u8> {
    let pending = database
        .pending()
        .await
        .context("cannot read the ledger of migrations")?;
    for migration in &pending {
        say!("pending: {migration}");
    }
    if check {
        return Ok(if pending.is_empty() { 0 } else { FAILURE });
    }
    // While `serve` runs the tables are up to date.
    let _folder = DataFolder::open(config)?;
    database.initialize().await.context("cannot migrate")?;
    database.close(CLOSE_WITHIN).await;
    say!("the database is up to date");
    Ok(0)
}
