use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use steadfast_sync::{Decision, Retry, RetryError};
use tokio::sync::Mutex;

use super::server::Server;
use crate::{
    Dialect, LedgerOperation, MigrationError, MigrationId, MigrationSet,
    ledger::{LedgerRow, plan},
};

const CREATE_LEDGER: &str = r#"
    CREATE TABLE IF NOT EXISTS steadfast_migration (
        "crate" text NOT NULL,
        version integer NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY ("crate", version)
    )
"#;

/// The key of the advisory lock: the ASCII codes of "steadfst".
const LOCK_KEY: i64 = i64::from_be_bytes(*b"steadfst");

/// Applies what the ledger lacks, in one transaction under the advisory lock, which the session
/// keeps: the caller must close the connection.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    server: &Server,
    migrations: &MigrationSet,
    polls: &Retry,
) -> Result<Vec<MigrationId>, MigrationError> {
    lock(connection, server, polls).await?;
    let mut transaction = connection
        .begin()
        .await
        .map_err(|error| server.ledger(LedgerOperation::Lock, error))?;
    let applied = apply(&mut transaction, server, migrations).await?;
    let commit = transaction.commit().await;
    commit.map_err(|error| server.commit_failed(error))?;
    Ok(applied)
}

/// Polls for the lock: a statement that waits for it would hold a snapshot meanwhile, and
/// `CREATE INDEX CONCURRENTLY` in the process that has the lock would wait for that snapshot.
async fn lock(
    connection: &mut PgConnection,
    server: &Server,
    polls: &Retry,
) -> Result<(), MigrationError> {
    let connection = Mutex::new(connection);
    let poll = |_| async {
        let mut connection = connection.lock().await;
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK_KEY)
            .fetch_one(&mut **connection)
            .await
            .map_err(Refusal::Failed)?;
        if locked { Ok(()) } else { Err(Refusal::Held) }
    };
    let decide = |refusal: &Refusal| match refusal {
        Refusal::Held => Decision::Retry,
        Refusal::Failed(_) => Decision::Stop,
    };
    let locked = polls.run(poll, decide).await;
    locked.map_err(|error| not_locked(server, error))
}

fn not_locked(server: &Server, error: RetryError<Refusal>) -> MigrationError {
    let waited = match &error {
        RetryError::Deadline { elapsed, .. } => *elapsed,
        _ => Duration::ZERO,
    };
    match error.into_last() {
        Some(Refusal::Held) => MigrationError::Locked { waited },
        Some(Refusal::Failed(error)) => server.ledger(LedgerOperation::Lock, error),
        // The first poll was cut off.
        None => server.silent(LedgerOperation::Lock, waited),
    }
}

/// Why the lock was not taken at one poll.
enum Refusal {
    Held,
    Failed(sqlx::Error),
}

async fn apply(
    connection: &mut PgConnection,
    server: &Server,
    migrations: &MigrationSet,
) -> Result<Vec<MigrationId>, MigrationError> {
    // Quietly: `IF NOT EXISTS` would log a notice at each start.
    if !exists(connection, server).await? {
        sqlx::query(CREATE_LEDGER)
            .execute(&mut *connection)
            .await
            .map_err(|error| server.ledger(LedgerOperation::Read, error))?;
    }
    let rows = read(connection, server).await?;
    let mut applied = Vec::new();
    for migration in plan(rows, migrations, Dialect::Postgres)? {
        let id = migration.id();
        sqlx::raw_sql(migration.sql(Dialect::Postgres))
            .execute(&mut *connection)
            .await
            .map_err(|error| MigrationError::Apply {
                id: id.clone(),
                source: server.failure(format!("{server} refused its SQL"), error),
            })?;
        sqlx::query(
            r#"INSERT INTO steadfast_migration ("crate", version, checksum) VALUES ($1, $2, $3)"#,
        )
        .bind(migration.crate_name())
        .bind(i64::from(migration.version()))
        .bind(migration.checksum(Dialect::Postgres))
        .execute(&mut *connection)
        .await
        .map_err(|error| server.ledger(LedgerOperation::Write, error))?;
        applied.push(id);
    }
    Ok(applied)
}

/// What [`migrate`] would apply.
pub(super) async fn pending(
    connection: &mut PgConnection,
    server: &Server,
    migrations: &MigrationSet,
) -> Result<Vec<MigrationId>, MigrationError> {
    let rows = if exists(connection, server).await? {
        read(connection, server).await?
    } else {
        Vec::new()
    };
    let plan = plan(rows, migrations, Dialect::Postgres)?;
    Ok(plan.iter().map(|migration| migration.id()).collect())
}

async fn exists(connection: &mut PgConnection, server: &Server) -> Result<bool, MigrationError> {
    sqlx::query_scalar("SELECT to_regclass('steadfast_migration') IS NOT NULL")
        .fetch_one(connection)
        .await
        .map_err(|error| server.ledger(LedgerOperation::Read, error))
}

async fn read(
    connection: &mut PgConnection,
    server: &Server,
) -> Result<Vec<LedgerRow>, MigrationError> {
    let rows = sqlx::query(r#"SELECT "crate", version::bigint, checksum FROM steadfast_migration"#)
        .fetch_all(connection)
        .await
        .map_err(|error| server.ledger(LedgerOperation::Read, error))?;
    let decode = |row: &sqlx::postgres::PgRow| {
        let version: i64 = row.try_get(1)?;
        Ok(LedgerRow {
            id: MigrationId::new(
                row.try_get::<String, _>(0)?,
                u32::try_from(version).map_err(|error| sqlx::Error::Decode(error.into()))?,
            ),
            checksum: row.try_get(2)?,
        })
    };
    rows.iter()
        .map(decode)
        .collect::<Result<_, _>>()
        .map_err(|error| server.ledger(LedgerOperation::Read, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    fn cut_off(last: Option<Refusal>) -> MigrationError {
        let server = Server {
            address: "h:5432".to_owned(),
            user: "u".to_owned(),
            database: "d".to_owned(),
        };
        let error = RetryError::Deadline {
            attempts: 1,
            elapsed: Duration::from_secs(30),
            last,
        };
        not_locked(&server, error)
    }

    #[test]
    fn silent_server_is_not_taken_for_another_process() {
        let held = cut_off(Some(Refusal::Held));
        assert!(matches!(held, MigrationError::Locked { waited } if waited.as_secs() == 30));
        let silent = cut_off(None);
        let MigrationError::Ledger { source, .. } = &silent else {
            panic!("{silent:?}");
        };
        let text = source.to_string();
        assert!(
            text.starts_with("no answer from postgres at h:5432 within 30s; see in `pg_stat"),
            "{text}"
        );
        assert_eq!(silent.class(), Class::Transient);
    }
}
