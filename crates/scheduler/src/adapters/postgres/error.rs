use std::io;

use sqlx::{PgPool, postgres::PgConnectOptions};

use super::super::job_row::AnyError;
use crate::StoreError;

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("the row of job {key:?} cannot be read")]
    Decode {
        key: String,
        #[source]
        source: AnyError,
    },
    #[error("job {key:?} was put in and removed by others all the time")]
    Contended { key: String },
}

/// Names the server.
#[derive(Debug, thiserror::Error)]
#[error("database `{database}` at {host}:{port}")]
struct AtServer {
    database: String,
    host: String,
    port: u16,
    #[source]
    source: RowError,
}

/// An error of the store, given what it was doing.
pub(super) fn failed(
    pool: &PgPool,
    operation: &'static str,
) -> impl FnOnce(RowError) -> StoreError {
    let options: std::sync::Arc<PgConnectOptions> = pool.connect_options();
    move |source| {
        let is_transient = match &source {
            RowError::Sql(error) => is_transient(error),
            RowError::Decode { .. } => false,
            RowError::Contended { .. } => true,
        };
        let error = AtServer {
            database: options.get_database().unwrap_or_default().into(),
            host: options.get_host().into(),
            port: options.get_port(),
            source,
        };
        if is_transient {
            StoreError::transient(operation, error)
        } else {
            StoreError::permanent(operation, error)
        }
    }
}

/// Whether the same call may succeed later; the table is in the documentation of
/// [`PostgresJobStore`](super::PostgresJobStore).
fn is_transient(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Database, Io, PoolTimedOut, Protocol, WorkerCrashed};
    match error {
        Database(error) => error.code().is_some_and(|code| passes(&code)),
        Io(error) => !matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
        ),
        Protocol(_) | PoolTimedOut | WorkerCrashed => true,
        _ => false,
    }
}

/// Codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn passes(code: &str) -> bool {
    matches!(
        code,
        // The connection, and what is not known of a commit when it breaks.
        "08000" | "08001" | "08003" | "08004" | "08006" | "08007" | "08P01" | "40003"
        // Other transactions: conflicts, deadlocks, locks held for too long.
        | "40001" | "40P01" | "55P03" | "25P03"
        // The server: short of something, shutting down, starting, read-only during a failover.
        | "53000" | "53100" | "53200" | "53300" | "53400" | "57P01" | "57P02" | "57P03" | "25006"
        // Its disk, and statements that it or somebody else cancelled.
        | "58000" | "58030" | "57014"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_pass_or_stay_as_the_table_says() {
        let passing = "08000 08001 08003 08004 08006 08007 08P01 40001 40003 40P01 55P03 25P03 \
                       53000 53100 53200 53300 53400 57P01 57P02 57P03 25006 58000 58030 57014";
        for code in passing.split_whitespace() {
            assert!(passes(code), "{code}");
        }
        for code in "28000 28P01 3D000 3F000 42501 42P01 22001 22021 23505 0A000 57P04 XX001"
            .split_whitespace()
        {
            assert!(!passes(code), "{code}");
        }
    }

    #[test]
    fn lost_connections_pass_and_closed_pools_do_not() {
        let io = |kind: io::ErrorKind| is_transient(&sqlx::Error::Io(kind.into()));
        assert!(io(io::ErrorKind::ConnectionRefused) && io(io::ErrorKind::UnexpectedEof));
        assert!(!io(io::ErrorKind::PermissionDenied));
        assert!(is_transient(&sqlx::Error::PoolTimedOut));
        assert!(!is_transient(&sqlx::Error::PoolClosed));
    }

    #[tokio::test]
    async fn errors_name_the_operation_and_the_server() {
        let options = PgConnectOptions::new_without_pgpass();
        let pool = PgPool::connect_lazy_with(options.host("db").port(5433).database("jobs"));
        let error = failed(&pool, "claim what is due")(RowError::Contended { key: "job".into() });
        assert!(error.is_transient());
        assert_eq!(
            error.to_string(),
            "the job store could not claim what is due"
        );
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "database `jobs` at db:5433");
    }
}
