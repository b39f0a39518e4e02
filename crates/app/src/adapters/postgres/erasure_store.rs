use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Postgres, postgres::PgRow};
use steadfast_privacy::{
    CodeHash, Erasure, ErasureId, ErasureStatus, ErasureStore, PortError, Receipt, Tombstone,
};
use uuid::Uuid;

use super::privacy_store::port_error;
use crate::adapters::{
    GuardedPool,
    erasures::{
        BEGIN, BURY, BY_CODE, CANCEL, COMPLETE, COMPLETED, DUE, FAIL, GET, INSERT, IS_BURIED, LIST,
        LIST_OF_USER, MAX_ROUNDS, OPEN, OVERDUE, ROWS, erasure_store,
    },
    rows::{erased_rows, read_erasure, receipt},
};

erasure_store!(
    /// Requests for erasure, and tombstones, in Postgres.
    PostgresErasureStore,
    Postgres,
    PgRow
);

impl PostgresErasureStore {
    /// On a database that has [`PRIVACY_MIGRATIONS`](crate::adapters::PRIVACY_MIGRATIONS).
    #[must_use]
    pub fn new(pool: GuardedPool<Postgres>) -> Self {
        Self {
            reader: pool.clone(),
            writer: pool,
        }
    }
}
