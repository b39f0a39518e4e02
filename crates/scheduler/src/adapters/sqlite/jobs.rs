//! Rows of `sched_job`.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::super::{
    codec::{outcome_to_text, policy_to_text},
    job_row::{AnyError, JobRow},
};
use crate::{ClaimRequest, JobKey};

pub(super) type Tx = Transaction<'static, Sqlite>;

/// How many rows one statement writes or finds: each has up to twelve parameters, and SQLite allows
/// 32 766.
pub(super) const ROWS: usize = 512;

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("a row of job {key:?} cannot be read")]
    Decode {
        rowid: i64,
        /// Empty if it cannot be read either.
        key: String,
        #[source]
        source: AnyError,
    },
}

impl JobRow {
    pub(super) async fn load(
        tx: &mut Tx,
        ns: &str,
        key: &JobKey,
    ) -> Result<Option<Self>, RowError> {
        let row = sqlx::query(
            "SELECT j.rowid, j.*, (SELECT COUNT(*) FROM sched_run r
                          WHERE r.ns = j.ns AND r.key = j.key AND r.finished_at IS NULL) AS running
             FROM sched_job j WHERE j.ns = ?1 AND j.key = ?2",
        )
        .bind(ns)
        .bind(key.as_str())
        .fetch_optional(&mut **tx)
        .await?;
        row.map(|row| decode_with_runs(&row)).transpose()
    }

    /// As [`load`](Self::load), but a row that cannot be read counts as none: the runs of such a
    /// job must be able to end.
    pub(super) async fn load_readable(
        tx: &mut Tx,
        ns: &str,
        key: &JobKey,
    ) -> Result<Option<Self>, RowError> {
        match Self::load(tx, ns, key).await {
            Err(RowError::Decode { .. }) => Ok(None),
            loaded => loaded,
        }
    }

    /// The jobs that are due, the earliest first; those that cannot be read are left out and
    /// named.
    pub(super) async fn due(
        tx: &mut Tx,
        request: &ClaimRequest,
        limit: usize,
    ) -> Result<Vec<Result<Self, RowError>>, RowError> {
        let rows = sqlx::query(
            "SELECT j.rowid, j.*, (SELECT COUNT(*) FROM sched_run r
                          WHERE r.ns = j.ns AND r.key = j.key AND r.finished_at IS NULL) AS running
             FROM sched_job j WHERE j.ns = ?1 AND j.due_at <= ?2 ORDER BY j.due_at LIMIT ?3",
        )
        .bind(&request.namespace)
        .bind(request.now.as_millisecond())
        .bind(limit as i64)
        .fetch_all(&mut **tx)
        .await?;
        Ok(rows.iter().map(decode_with_runs).collect())
    }

    /// These jobs, by key, but for those that cannot be read.
    pub(super) async fn load_all(
        tx: &mut Tx,
        ns: &str,
        keys: Vec<&str>,
    ) -> Result<HashMap<String, Self>, RowError> {
        let mut jobs = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(ROWS) {
            let mut select = QueryBuilder::<Sqlite>::new(
                "SELECT j.rowid, j.*, (SELECT COUNT(*) FROM sched_run r
                              WHERE r.ns = j.ns AND r.key = j.key AND r.finished_at IS NULL) AS running
                 FROM sched_job j WHERE j.ns = ",
            );
            select.push_bind(ns).push(" AND j.key IN (");
            let mut list = select.separated(", ");
            for key in keys {
                list.push_bind(*key);
            }
            list.push_unseparated(")");
            let rows = select
                .build()
                .persistent(keys.len() == ROWS)
                .fetch_all(&mut **tx)
                .await?;
            let readable = rows.iter().filter_map(|row| decode_with_runs(row).ok());
            jobs.extend(readable.map(|row| (row.job.key.to_string(), row)));
        }
        Ok(jobs)
    }

    /// Writes everything that can change without a new generation; returns when the job is due.
    pub(super) async fn save_state(
        &self,
        tx: &mut Tx,
        ns: &str,
    ) -> Result<Option<Timestamp>, RowError> {
        save_states(tx, ns, [self].into_iter()).await
    }

    /// Writes what makes a new generation, inserting the row if there is none.
    pub(super) async fn save(&self, tx: &mut Tx, ns: &str) -> Result<(), RowError> {
        sqlx::query(
            "INSERT INTO sched_job (ns, key, gen, spec, dialect, tz, policy, paused)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (ns, key) DO UPDATE SET gen = ?3, spec = ?4, dialect = ?5, tz = ?6,
               policy = ?7, paused = ?8",
        )
        .bind(ns)
        .bind(self.job.key.as_str())
        .bind(self.generation as i64)
        .bind(self.job.spec.as_str())
        .bind(self.job.spec.dialect().as_str())
        .bind(self.job.tz.iana_name())
        .bind(policy_to_text(&self.job.policy))
        .bind(self.state.paused)
        .execute(&mut **tx)
        .await?;
        self.save_state(tx, ns).await?;
        Ok(())
    }
}

/// Writes everything of jobs that can change without a new generation; returns when the first of
/// them is due.
pub(super) async fn save_states<'a>(
    tx: &mut Tx,
    ns: &str,
    jobs: impl Iterator<Item = &'a JobRow>,
) -> Result<Option<Timestamp>, RowError> {
    let jobs: Vec<_> = jobs.map(|row| (row, row.state.due_at(&row.job))).collect();
    let millis = |instant: Option<Timestamp>| instant.map(Timestamp::as_millisecond);
    for jobs in jobs.chunks(ROWS) {
        let mut update = QueryBuilder::<Sqlite>::new(
            "UPDATE sched_job AS j SET next_fire_at = n.column2, due_at = n.column3,
               last_scheduled_for = n.column4, manual_for = n.column5, manual_wanted = n.column6,
               busy_from = n.column7, busy_until = n.column8, skipped = n.column9,
               last_run_for = n.column10, last_finished_at = n.column11,
               last_outcome = n.column12
             FROM (",
        );
        update.push_values(jobs, |mut values, (row, due)| {
            let (state, last) = (&row.state, row.last.as_ref());
            values
                .push_bind(row.job.key.as_str())
                .push_bind(millis(state.next_fire))
                .push_bind(millis(*due))
                .push_bind(millis(state.last_scheduled))
                .push_bind(millis(state.manual_for))
                .push_bind(state.manual_wanted)
                .push_bind(millis(state.busy_from))
                .push_bind(millis(state.busy_until))
                .push_bind(state.skipped as i64)
                .push_bind(millis(last.map(|last| last.scheduled_for)))
                .push_bind(millis(last.map(|last| last.finished_at)))
                .push_bind(last.map(|last| outcome_to_text(&last.outcome)));
        });
        update
            .push(") AS n WHERE j.ns = ")
            .push_bind(ns)
            .push(" AND j.key = n.column1");
        update
            .build()
            .persistent(jobs.len() == 1 || jobs.len() == ROWS)
            .execute(&mut **tx)
            .await?;
    }
    Ok(jobs.iter().filter_map(|(_, due)| *due).min())
}

fn decode_with_runs(row: &SqliteRow) -> Result<JobRow, RowError> {
    let decoded = JobRow::decode(row).and_then(|mut job| {
        job.state.running = row.try_get::<i64, _>("running")? as u32;
        Ok(job)
    });
    decoded.map_err(|source| unreadable(row, source))
}

/// Takes `count` numbers for generations or fences; returns the first.
pub(super) async fn take_numbers(tx: &mut Tx, ns: &str, count: usize) -> Result<u64, RowError> {
    let last: i64 = sqlx::query_scalar(
        "INSERT INTO sched_counter (ns, value) VALUES (?1, ?2)
         ON CONFLICT (ns) DO UPDATE SET value = value + ?2 RETURNING value",
    )
    .bind(ns)
    .bind(count as i64)
    .fetch_one(&mut **tx)
    .await?;
    Ok((last - count as i64 + 1) as u64)
}

pub(super) fn unreadable(row: &SqliteRow, source: AnyError) -> RowError {
    RowError::Decode {
        rowid: row.try_get("rowid").unwrap_or_default(),
        key: row.try_get("key").unwrap_or_default(),
        source,
    }
}
