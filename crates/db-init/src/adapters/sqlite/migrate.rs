use std::path::Path;

use sqlx::{Row, Sqlite, SqliteConnection, Transaction};

use super::{SqlitePools, backend::failure};
use crate::{
    Dialect, LedgerOperation, MigrationError, MigrationId, MigrationSet,
    ledger::{LedgerRow, plan},
};

const CREATE_LEDGER: &str = r#"
    CREATE TABLE IF NOT EXISTS steadfast_migration (
        "crate" TEXT NOT NULL,
        version INTEGER NOT NULL,
        checksum TEXT NOT NULL,
        applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        PRIMARY KEY ("crate", version)
    ) STRICT
"#;

/// Changes nothing, and is refused where nothing can be changed. SQLite begins a transaction on a
/// read-only file all the same, and a ledger that is complete needs no other write.
const WRITE_NOTHING: &str = "DELETE FROM steadfast_migration WHERE FALSE";

/// Applies what the ledger lacks, in one transaction.
pub(super) async fn migrate(
    path: &Path,
    pools: &SqlitePools,
    migrations: &MigrationSet,
) -> Result<Vec<MigrationId>, MigrationError> {
    let mut transaction = pools
        .begin_write()
        .await
        .map_err(|error| ledger(path, LedgerOperation::Lock, error))?;
    let outcome = apply(path, &mut transaction, migrations).await;
    match outcome {
        Ok(applied) => {
            let commit = transaction.commit().await;
            commit.map_err(|error| ledger(path, LedgerOperation::Commit, error))?;
            Ok(applied)
        }
        Err(error) => {
            // The first error is the one to tell; the rollback also happens without us.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

async fn apply(
    path: &Path,
    transaction: &mut Transaction<'static, Sqlite>,
    migrations: &MigrationSet,
) -> Result<Vec<MigrationId>, MigrationError> {
    for statement in [CREATE_LEDGER, WRITE_NOTHING] {
        sqlx::query(statement)
            .execute(&mut **transaction)
            .await
            .map_err(|error| ledger(path, LedgerOperation::Write, error))?;
    }
    let rows = read(path, transaction).await?;
    let mut applied = Vec::new();
    for migration in plan(rows, migrations, Dialect::Sqlite)? {
        let id = migration.id();
        sqlx::raw_sql(migration.sql(Dialect::Sqlite))
            .execute(&mut **transaction)
            .await
            .map_err(|error| MigrationError::Apply {
                id: id.clone(),
                source: failure(refused(path, " its SQL"), error),
            })?;
        sqlx::query(
            r#"INSERT INTO steadfast_migration ("crate", version, checksum) VALUES (?, ?, ?)"#,
        )
        .bind(migration.crate_name())
        .bind(i64::from(migration.version()))
        .bind(migration.checksum(Dialect::Sqlite))
        .execute(&mut **transaction)
        .await
        .map_err(|error| ledger(path, LedgerOperation::Write, error))?;
        applied.push(id);
    }
    Ok(applied)
}

/// What [`migrate`] would apply.
pub(super) async fn pending(
    path: &Path,
    connection: &mut SqliteConnection,
    migrations: &MigrationSet,
) -> Result<Vec<MigrationId>, MigrationError> {
    let exists: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'steadfast_migration'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| ledger(path, LedgerOperation::Read, error))?;
    if exists == 0 {
        return all(migrations);
    }
    let rows = read(path, connection).await?;
    let plan = plan(rows, migrations, Dialect::Sqlite)?;
    Ok(plan.iter().map(|migration| migration.id()).collect())
}

/// What [`migrate`] would apply to a database that does not exist yet.
pub(super) fn all(migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
    let plan = plan(Vec::new(), migrations, Dialect::Sqlite)?;
    Ok(plan.iter().map(|migration| migration.id()).collect())
}

async fn read(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<Vec<LedgerRow>, MigrationError> {
    let rows = sqlx::query(r#"SELECT "crate", version, checksum FROM steadfast_migration"#)
        .fetch_all(connection)
        .await
        .map_err(|error| ledger(path, LedgerOperation::Read, error))?;
    let decode = |row: &sqlx::sqlite::SqliteRow| {
        let version: u32 = row.try_get(1)?;
        Ok(LedgerRow {
            id: MigrationId::new(row.try_get::<String, _>(0)?, version),
            checksum: row.try_get(2)?,
        })
    };
    rows.iter()
        .map(decode)
        .collect::<Result<_, _>>()
        .map_err(|error| ledger(path, LedgerOperation::Read, error))
}

fn ledger(path: &Path, operation: LedgerOperation, error: sqlx::Error) -> MigrationError {
    MigrationError::Ledger {
        operation,
        source: failure(refused(path, ""), error),
    }
}

fn refused(path: &Path, what: &str) -> String {
    format!("SQLite database `{}` refused{what}", path.display())
}
