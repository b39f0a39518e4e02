use std::error::Error;

use jiff::{Timestamp, tz::TimeZone};
use sqlx::{ColumnIndex, Database, Decode, Row, Type};

use super::codec::{outcome_from_text, policy_from_text};
use crate::{Job, JobKey, JobState, LastRun, Spec};

pub(super) type AnyError = Box<dyn Error + Send + Sync>;

/// A job as its row has it.
#[derive(Debug)]
pub(super) struct JobRow {
    pub(super) job: Job,
    pub(super) generation: u64,
    /// How many runs are at work is not in the row: 0 until it is counted.
    pub(super) state: JobState,
    pub(super) last: Option<LastRun>,
    /// When the row says that it is due: not at all if it has been set aside.
    pub(super) due: Option<Timestamp>,
}

impl JobRow {
    /// Reads a row of `sched_job`, of either database.
    pub(super) fn decode<R>(row: &R) -> Result<Self, AnyError>
    where
        R: Row,
        for<'a> &'a str: ColumnIndex<R>,
        for<'r> String: Column<'r, R::Database>,
        for<'r> i64: Column<'r, R::Database>,
        for<'r> bool: Column<'r, R::Database>,
    {
        let outcome: Option<String> = row.try_get("last_outcome")?;
        let outcome = outcome.map(|text| outcome_from_text(&text)).transpose()?;
        let run = instant(row, "last_run_for")?;
        let end = instant(row, "last_finished_at")?;
        let last = outcome
            .zip(run)
            .zip(end)
            .map(|((outcome, run), end)| LastRun {
                scheduled_for: run,
                finished_at: end,
                outcome,
            });
        Ok(Self {
            job: decode_job(row)?,
            generation: row.try_get::<i64, _>("gen")? as u64,
            state: JobState {
                next_fire: instant(row, "next_fire_at")?,
                last_scheduled: instant(row, "last_scheduled_for")?,
                manual_for: instant(row, "manual_for")?,
                manual_wanted: row.try_get("manual_wanted")?,
                busy_from: instant(row, "busy_from")?,
                busy_until: instant(row, "busy_until")?,
                paused: row.try_get("paused")?,
                running: 0,
                skipped: row.try_get::<i64, _>("skipped")? as u64,
            },
            last,
            due: instant(row, "due_at")?,
        })
    }
}

/// What a column can be read as.
pub(super) trait Column<'r, D: Database>: Decode<'r, D> + Type<D> {}

impl<'r, D: Database, T: Decode<'r, D> + Type<D>> Column<'r, D> for T {}

fn decode_job<R>(row: &R) -> Result<Job, AnyError>
where
    R: Row,
    for<'a> &'a str: ColumnIndex<R>,
    for<'r> String: Column<'r, R::Database>,
{
    let (key, spec): (String, String) = (row.try_get("key")?, row.try_get("spec")?);
    let (dialect, tz): (String, String) = (row.try_get("dialect")?, row.try_get("tz")?);
    let policy: String = row.try_get("policy")?;
    Ok(Job {
        key: JobKey::from(key),
        spec: Spec::parse(&spec, dialect.parse()?)?,
        tz: TimeZone::get(&tz)?,
        policy: policy_from_text(&policy)?,
    })
}

fn instant<R>(row: &R, column: &'static str) -> Result<Option<Timestamp>, AnyError>
where
    R: Row,
    for<'a> &'a str: ColumnIndex<R>,
    for<'r> i64: Column<'r, R::Database>,
{
    let millisecond: Option<i64> = row.try_get(column)?;
    Ok(millisecond.map(Timestamp::from_millisecond).transpose()?)
}

/// The nearest instant to a number of milliseconds: a row with an absurd one must not hide the
/// others.
pub(super) fn nearest_instant(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).unwrap_or(if millisecond < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
