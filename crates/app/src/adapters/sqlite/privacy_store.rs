use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{
    Sqlite,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};
use steadfast_privacy::{
    Operation, PolicyOutcome, PortError, Records, RetentionStore, Run, RunId, RunLog, RunStatus,
};

use crate::adapters::{
    Expiry, GuardedPool,
    rows::{column, is_transient, outcome, report_json, run, timestamp},
};

/// The ages of the records of all crates, and the log of privacy runs, in SQLite.
#[derive(Clone, Debug)]
pub struct SqlitePrivacyStore {
    reader: GuardedPool<Sqlite>,
    writer: GuardedPool<Sqlite>,
    expiry: Expiry,
}

/// The statements about one kind of record, each of which reads one index from its old end.
struct Statements {
    count: &'static str,
    oldest: &'static str,
    delete: &'static str,
}

macro_rules! statements {
    ($table:literal, $time:literal, $key:literal, $where:literal) => {
        Statements {
            count: concat!(
                "SELECT count(*) FROM ",
                $table,
                " WHERE ",
                $time,
                " < ?1 AND ",
                $where
            ),
            oldest: concat!(
                "SELECT ",
                $time,
                " FROM ",
                $table,
                " WHERE ",
                $where,
                " ORDER BY ",
                $time,
                " LIMIT 1"
            ),
            delete: concat!(
                "DELETE FROM ",
                $table,
                " WHERE (",
                $key,
                ") IN (SELECT ",
                $key,
                " FROM ",
                $table,
                " WHERE ",
                $time,
                " < ?1 AND ",
                $where,
                " ORDER BY ",
                $time,
                " LIMIT ?2)"
            ),
        }
    };
}

fn statements(records: Records) -> Result<Statements, PortError> {
    Ok(match records {
        Records::ReadNotifications => {
            statements!("notification", "read_at", "rowid", "read_at IS NOT NULL")
        }
        Records::UnreadNotifications => {
            statements!("notification", "created_at", "rowid", "read_at IS NULL")
        }
        Records::UserEvents => statements!("user_event", "created_at", "rowid", "true"),
        Records::Occurrences => {
            statements!(
                "occurrence",
                "stored_at",
                "schedule_id, scheduled_for",
                "true"
            )
        }
        Records::IdempotencyKeys => statements!("idempotency_key", "created_at", "rowid", "true"),
        Records::Sessions => statements!("session", "expires_at", "hash", "true"),
        Records::AuditEntries => statements!("audit_entry", "at", "rowid", "true"),
        Records::PrivacyRuns => statements!("privacy_run", "started_at", "rowid", "true"),
        unknown => {
            return Err(PortError::permanent(format!(
                "{unknown} have no table here"
            )));
        }
    })
}

impl SqlitePrivacyStore {
    /// On a database that has [`PRIVACY_MIGRATIONS`](crate::adapters::PRIVACY_MIGRATIONS) and the tables of
    /// the other crates.
    #[must_use]
    pub fn new(reader: GuardedPool<Sqlite>, writer: GuardedPool<Sqlite>) -> Self {
        Self {
            reader,
            writer,
            expiry: Expiry::default(),
        }
    }

    /// Lists nothing that is past retention by `expiry`.
    #[must_use]
    pub fn hiding(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    async fn try_begin(&self, run: &Run) -> sqlx::Result<()> {
        let mut tx = self.writer.begin().await?;
        if run.status == RunStatus::Running {
            fail_unfinished(run.operation, run.started_at)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "INSERT INTO privacy_run
             (id, operation, trigger_name, started_at, finished_at, status, error, report)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(run.id.uuid())
        .bind(run.operation.name())
        .bind(run.trigger.name())
        .bind(run.started_at.as_microsecond())
        .bind(run.finished_at.map(Timestamp::as_microsecond))
        .bind(run.status.name())
        .bind(&run.error)
        .bind(report_json(run)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    async fn try_finish(&self, run: &Run) -> sqlx::Result<()> {
        let done = sqlx::query(
            "UPDATE privacy_run SET finished_at = ?2, status = ?3, error = ?4, report = ?5
             WHERE id = ?1",
        )
        .bind(run.id.uuid())
        .bind(run.finished_at.map(Timestamp::as_microsecond))
        .bind(run.status.name())
        .bind(&run.error)
        .bind(report_json(run)?)
        .execute(&self.writer)
        .await?;
        if done.rows_affected() == 0 {
            return Err(sqlx::Error::RowNotFound);
        }
        Ok(())
    }

    /// Adds the outcomes of their policies to runs.
    async fn with_policies(&self, mut runs: Vec<Run>) -> sqlx::Result<Vec<Run>> {
        for run in &mut runs {
            run.policies =
                sqlx::query("SELECT * FROM privacy_run_policy WHERE run_id = ?1 ORDER BY place")
                    .bind(run.id.uuid())
                    .try_map(|row: SqliteRow| outcome(&row))
                    .fetch_all(&self.reader)
                    .await?;
        }
        Ok(runs)
    }

    async fn try_find(&self, id: RunId) -> sqlx::Result<Option<Run>> {
        let found = sqlx::query("SELECT * FROM privacy_run WHERE id = ?1 AND started_at >= ?2")
            .bind(id.uuid())
            .bind(self.expiry.cutoff(Records::PrivacyRuns))
            .try_map(|row: SqliteRow| run(&row))
            .fetch_all(&self.reader)
            .await?;
        Ok(self.with_policies(found).await?.pop())
    }

    async fn try_last_success(&self, operation: Operation) -> sqlx::Result<Option<Run>> {
        let found = sqlx::query(
            "SELECT * FROM privacy_run WHERE operation = ?1 AND status = 'succeeded'
             AND started_at >= ?2 ORDER BY id DESC LIMIT 1",
        )
        .bind(operation.name())
        .bind(self.expiry.cutoff(Records::PrivacyRuns))
        .try_map(|row: SqliteRow| run(&row))
        .fetch_all(&self.reader)
        .await?;
        Ok(self.with_policies(found).await?.pop())
    }

    async fn try_list(
        &self,
        operation: Option<Operation>,
        before: Option<RunId>,
        limit: u32,
    ) -> sqlx::Result<Vec<Run>> {
        // Above every id: no UUID has seventeen bytes.
        const END: [u8; 17] = [0xff; 17];
        let before = before.map_or_else(|| END.to_vec(), |id| id.uuid().as_bytes().to_vec());
        let query = match operation {
            None => sqlx::query(
                "SELECT * FROM privacy_run WHERE id < ?1 AND started_at >= ?3
                 ORDER BY id DESC LIMIT ?2",
            ),
            Some(_) => sqlx::query(
                "SELECT * FROM privacy_run WHERE operation = ?4 AND id < ?1 AND started_at >= ?3
                 ORDER BY id DESC LIMIT ?2",
            ),
        };
        let cutoff = self.expiry.cutoff(Records::PrivacyRuns);
        let query = query.bind(before).bind(limit).bind(cutoff);
        let query = match operation {
            None => query,
            Some(operation) => query.bind(operation.name()),
        };
        let found = query
            .try_map(|row: SqliteRow| run(&row))
            .fetch_all(&self.reader)
            .await?;
        self.with_policies(found).await
    }
}

#[async_trait]
impl RetentionStore for SqlitePrivacyStore {
    async fn count_expired(&self, records: Records, cutoff: Timestamp) -> Result<u64, PortError> {
        let count: i64 = sqlx::query_scalar(statements(records)?.count)
            .bind(cutoff.as_microsecond())
            .fetch_one(&self.reader)
            .await
            .map_err(port_error)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn oldest(&self, records: Records) -> Result<Option<Timestamp>, PortError> {
        let oldest: Option<i64> = sqlx::query_scalar(statements(records)?.oldest)
            .fetch_optional(&self.reader)
            .await
            .map_err(port_error)?;
        oldest.map(timestamp).transpose().map_err(port_error)
    }

    async fn delete_batch(
        &self,
        records: Records,
        cutoff: Timestamp,
        limit: u32,
    ) -> Result<u64, PortError> {
        sqlx::query(statements(records)?.delete)
            .bind(cutoff.as_microsecond())
            .bind(limit)
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(port_error)
    }
}

#[async_trait]
impl RunLog for SqlitePrivacyStore {
    async fn begin(&self, run: &Run) -> Result<(), PortError> {
        self.try_begin(run).await.map_err(port_error)
    }

    async fn fail_unfinished(&self, operation: Operation, at: Timestamp) -> Result<u64, PortError> {
        fail_unfinished(operation, at)
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(port_error)
    }

    async fn record(&self, id: RunId, outcome: &PolicyOutcome) -> Result<(), PortError> {
        sqlx::query(
            "INSERT INTO privacy_run_policy
             (run_id, place, records, status, cutoff, deleted, error)
             SELECT ?1, count(*), ?2, ?3, ?4, ?5, ?6 FROM privacy_run_policy WHERE run_id = ?1",
        )
        .bind(id.uuid())
        .bind(outcome.records.name())
        .bind(outcome.status.name())
        .bind(outcome.cutoff.as_microsecond())
        .bind(column(outcome.deleted))
        .bind(&outcome.error)
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(port_error)
    }

    async fn finish(&self, run: &Run) -> Result<(), PortError> {
        self.try_finish(run).await.map_err(port_error)
    }

    async fn find(&self, id: RunId) -> Result<Option<Run>, PortError> {
        self.try_find(id).await.map_err(port_error)
    }

    async fn last_success(&self, operation: Operation) -> Result<Option<Run>, PortError> {
        self.try_last_success(operation).await.map_err(port_error)
    }

    async fn list(
        &self,
        operation: Option<Operation>,
        before: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Run>, PortError> {
        self.try_list(operation, before, limit)
            .await
            .map_err(port_error)
    }
}

fn fail_unfinished(operation: Operation, at: Timestamp) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(
        "UPDATE privacy_run SET status = 'failed', error = 'it never ended', finished_at = ?2
         WHERE operation = ?1 AND status = 'running'",
    )
    .bind(operation.name())
    .bind(at.as_microsecond())
}

/// What privacy learns of an error.
pub(super) fn port_error(error: sqlx::Error) -> PortError {
    if is_transient::<Sqlite>(&error) {
        PortError::transient(error)
    } else {
        PortError::permanent(error)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row as _, sqlite::SqlitePoolOptions};

    use super::*;
    use crate::adapters::{ACCOUNT_MIGRATIONS, NOTIFICATION_MIGRATIONS, PRIVACY_MIGRATIONS};

    #[tokio::test]
    async fn retention_reads_an_index_and_no_table() {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:");
        let pool = pool.await.unwrap();
        let tables = [
            ACCOUNT_MIGRATIONS,
            NOTIFICATION_MIGRATIONS,
            PRIVACY_MIGRATIONS,
        ];
        for (_, sql, _) in tables.into_iter().flatten() {
            sqlx::raw_sql(*sql).execute(&pool).await.unwrap();
        }
        for records in Records::ALL {
            let statements = statements(records).unwrap();
            for sql in [statements.count, statements.oldest, statements.delete] {
                let plan: Vec<String> =
                    sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                        .bind(0)
                        .bind(1)
                        .try_map(|row: SqliteRow| row.try_get("detail"))
                        .fetch_all(&pool)
                        .await
                        .unwrap();
                let scans = plan.iter().any(|step| {
                    step.contains("TEMP B-TREE")
                        || (step.starts_with("SCAN") && !step.contains("INDEX"))
                });
                assert!(!scans, "{sql}: {plan:?}");
            }
        }
    }
}
