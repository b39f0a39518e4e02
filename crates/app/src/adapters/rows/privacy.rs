use steadfast_privacy::{
    ChangedBy, Operation, PolicyChange, PolicyOutcome, PolicyStatus, RetentionPolicy, Run, RunId,
    RunStatus, Trigger,
};

use super::{Columns, broken, from_json, to_json};
use crate::audit::{AuditAction, AuditEntry};

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

/// Reads a policy that was changed, with the caps that stand now.
pub(in crate::adapters) fn policy(row: &impl Columns) -> sqlx::Result<RetentionPolicy> {
    let records = row.named("records", |text| text.parse().ok())?;
    let days = row.number("days")?.try_into();
    Ok(RetentionPolicy {
        days: days.map_err(|_| broken("days", "is too large"))?,
        enabled: row.flag("enabled")?,
        legal_hold: row.flag("legal_hold")?,
        reason: row.optional_text("reason")?.map(str::to_owned),
        version: row.number("version")?,
        updated_at: row.optional_time("updated_at")?,
        ..RetentionPolicy::default_for(records)
    })
}

/// What the audit log says of a change.
pub(in crate::adapters) fn change_entry(change: &PolicyChange) -> AuditEntry {
    let PolicyChange { before, after, by } = change;
    let ChangedBy {
        user,
        address,
        request,
    } = *by;
    let state = |policy: &RetentionPolicy| {
        let hold = if policy.legal_hold { ", held" } else { "" };
        let off = if policy.enabled { "" } else { ", off" };
        format!("{} days{off}{hold}", policy.days)
    };
    let at = after.updated_at.unwrap_or_default();
    AuditEntry {
        user_id: user,
        target: Some(after.records.name().to_owned()),
        detail: Some(format!("{} -> {}", state(before), state(after))),
        address,
        request_id: request,
        ..AuditEntry::new(AuditAction::ChangePolicy, at)
    }
}

/// Reads an entry of the audit log.
pub(in crate::adapters) fn audit_entry(row: &impl Columns) -> sqlx::Result<AuditEntry> {
    let address = row.optional_text("address")?.map(str::parse).transpose();
    Ok(AuditEntry {
        id: row.id("id")?,
        at: row.time("at")?,
        action: row.named("action", AuditAction::from_name)?,
        succeeded: row.flag("succeeded")?,
        user_id: row.optional_id("user_id")?,
        target: row.optional_text("target")?.map(str::to_owned),
        detail: row.optional_text("detail")?.map(str::to_owned),
        address: address.map_err(|_| broken("address", "is no IP address"))?,
        request_id: row.optional_id("request_id")?,
    })
}
