use steadfast_privacy::{Operation, PolicyOutcome, PolicyStatus, Run, RunId, RunStatus, Trigger};

use super::{Columns, from_json, to_json};

/// Reads a run without the outcomes of its policies.
pub(in crate::adapters) fn run(row: &impl Columns) -> sqlx::Result<Run> {
    Ok(Run {
        id: RunId::new(row.id("id")?),
        operation: row.named("operation", Operation::from_name)?,
        trigger: row.named("trigger_name", Trigger::from_name)?,
        started_at: row.time("started_at")?,
        finished_at: row.optional_time("finished_at")?,
        status: row.named("status", RunStatus::from_name)?,
        error: row.optional_text("error")?.map(str::to_owned),
        policies: Vec::new(),
        report: row.optional_text("report")?.map(from_json).transpose()?,
    })
}

/// Reads the outcome of one policy.
pub(in crate::adapters) fn outcome(row: &impl Columns) -> sqlx::Result<PolicyOutcome> {
    Ok(PolicyOutcome {
        records: row.named("records", |text| text.parse().ok())?,
        status: row.named("status", PolicyStatus::from_name)?,
        cutoff: row.time("cutoff")?,
        deleted: row.number("deleted")?,
        error: row.optional_text("error")?.map(str::to_owned),
    })
}

/// A run's report, as its column holds it.
pub(in crate::adapters) fn report_json(run: &Run) -> sqlx::Result<Option<String>> {
    run.report.as_ref().map(to_json).transpose()
}
