use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Postgres};
use steadfast_privacy::{ErasureId, PersonalData, PortError};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::privacy_store::port_error;
use crate::adapters::{
    GuardedPool,
    personal::{
        ExportedRow, PERSONAL_TABLES, PersonalExport, PersonalTable, RowJson as _, personal_store,
    },
    rows::column,
};

personal_store!(
    /// All that is stored about users, in Postgres.
    PostgresPersonalStore,
    Postgres,
    sqlite: false,
    // One snapshot for all of it, however slowly it is read.
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
     SET LOCAL idle_in_transaction_session_timeout = '10min'"
);

impl PostgresPersonalStore {
    /// On a database that has the tables of all crates.
    #[must_use]
    pub fn new(pool: GuardedPool<Postgres>) -> Self {
        Self {
            reader: pool.clone(),
            writer: pool,
        }
    }
}
