use steadfast_privacy::{ErasedRows, Erasure, ErasureId, ErasureStatus, Receipt};

use super::Columns;

/// Reads a request for erasure, without its receipt.
pub(in crate::adapters) fn read_erasure(row: &impl Columns) -> sqlx::Result<Erasure> {
    Ok(Erasure {
        id: ErasureId::new(row.id("id")?),
        user_id: row.id("user_id")?,
        requested_at: row.time("requested_at")?,
        due_at: row.time("due_at")?,
        status: row.named("status", ErasureStatus::from_name)?,
        finished_at: row.optional_time("finished_at")?,
        error: row.optional_text("error")?.map(str::to_owned),
        receipt: None,
    })
}

/// Reads how many rows of a table were erased.
pub(in crate::adapters) fn erased_rows(row: &impl Columns) -> sqlx::Result<ErasedRows> {
    Ok(ErasedRows {
        table: row.text("table_name")?.to_owned(),
        rows: row.number("erased")?,
    })
}

/// The receipt of a request, if it is completed.
pub(in crate::adapters) fn receipt(
    erasure: &Erasure,
    mut tables: Vec<ErasedRows>,
) -> Option<Receipt> {
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    let finished_at = erasure.finished_at?;
    (erasure.status == ErasureStatus::Completed).then_some(Receipt {
        request_id: erasure.id,
        user_id: erasure.user_id,
        requested_at: erasure.requested_at,
        finished_at,
        tables,
    })
}
