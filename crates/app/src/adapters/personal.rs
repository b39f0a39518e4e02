//! What is stored about users: each table with a user's id declares here how its rows are found,
//! exported and erased.
//!
//! A test reads the schema of both databases and fails on a table that is not declared.

mod json;
mod lines;
mod registry;
mod store;

pub(super) use json::RowJson;
pub(super) use store::personal_store;

pub use lines::export_lines;
pub use registry::{Erase, Owned, PERSONAL_TABLES, PersonalTable};

use std::fmt;

use async_trait::async_trait;
use serde_json::{Map, Value};
use steadfast_privacy::PortError;
use tokio::sync::mpsc;
use uuid::Uuid;

/// One row of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedRow {
    /// Of which table.
    pub table: &'static str,
    /// Its columns.
    pub row: Map<String, Value>,
}

/// Reads all that is stored about a user.
#[async_trait]
pub trait PersonalExport: fmt::Debug + Send + Sync {
    /// Sends each row of each table, as of one moment, and ends early where nobody receives any
    /// more. A row is read when there is room for it.
    ///
    /// # Errors
    ///
    /// If the store fails; what was sent before is not all of it then.
    ///
    /// # Cancel safety
    ///
    /// It changes nothing.
    async fn export(&self, user: Uuid, rows: mpsc::Sender<ExportedRow>) -> Result<(), PortError>;
}
