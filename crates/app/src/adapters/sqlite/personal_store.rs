use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Sqlite};
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
    /// All that is stored about users, in SQLite.
    SqlitePersonalStore,
    Sqlite,
    sqlite: true,
    // What the transaction sees is settled by its first read.
    "SELECT count(*) FROM sqlite_schema"
);

impl SqlitePersonalStore {
    /// On a database that has the tables of all crates.
    #[must_use]
    pub fn new(reader: GuardedPool<Sqlite>, writer: GuardedPool<Sqlite>) -> Self {
        Self { reader, writer }
    }
}
