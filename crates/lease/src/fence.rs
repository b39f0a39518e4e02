#[cfg(feature = "postgres")]
use sqlx::Postgres;
#[cfg(feature = "sqlite")]
use sqlx::Sqlite;
use sqlx::Transaction;

/// Raises the fence of the resource, unless it is higher.
macro_rules! raise {
    ($resource:literal, $fence:literal) => {
        concat!(
            "INSERT INTO lease_fence AS seen (resource, fence) VALUES (",
            $resource,
            ", ",
            $fence,
            ") ON CONFLICT (resource) DO UPDATE SET fence = excluded.fence
             WHERE seen.fence <= excluded.fence RETURNING fence"
        )
    };
}

/// Why a fenced write was not let through. Roll its transaction back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// A holder with a higher fence has written since: the lease of this one is over.
    #[error(
        "write to `{resource}` with fence {fence} comes too late: fence {higher} has written since"
    )]
    Refused {
        /// What was to be written to.
        resource: String,
        /// The fence of the write.
        fence: u64,
        /// The fence that was seen.
        higher: u64,
    },
    /// A SQL database has no number so large; no backend of this crate gives one out.
    #[error("fence {fence} of a write to `{resource}` is larger than {}", i64::MAX)]
    TooLarge {
        /// What was to be written to.
        resource: String,
        /// The fence of the write.
        fence: u64,
    },
    /// The database failed.
    #[error("cannot compare fence {fence} of a write to `{resource}` in table `lease_fence`")]
    Database {
        /// What was to be written to.
        resource: String,
        /// The fence of the write.
        fence: u64,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
}

/// Lets a transaction write to `resource` only if nobody with a higher `fence` has; to be called
/// before its writes.
///
/// The fence is remembered with the commit of the transaction, in the table `lease_fence` of
/// [`MIGRATIONS`](crate::MIGRATIONS). The row stays locked until then, so that of two transactions
/// under different fences the one with the lower fence either commits before the other is let
/// through or is refused. `resource` is any name on which all writers agree, such as the key of the
/// lease; all of its fences must come from the same backend.
///
/// Begin the transaction with `BEGIN IMMEDIATE`, or let this be its first statement: a transaction
/// that has read before may fail with `SQLITE_BUSY_SNAPSHOT` when another has written since.
///
/// # Cancel safety
///
/// Dropping the future leaves the fence raised in the transaction or not; roll it back.
///
/// # Errors
///
/// [`FenceError::Refused`] if a higher fence was seen. After any error roll the transaction back.
///
/// # Examples
///
/// ```
/// use sqlx::SqlitePool;
/// use steadfast_lease::{FenceError, MIGRATIONS, fence_sqlite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
/// let pool = options.connect("sqlite::memory:").await?;
/// for (_version, sqlite, _postgres) in MIGRATIONS {
///     sqlx::raw_sql(*sqlite).execute(&pool).await?;
/// }
/// // The fence is that of the work's `LeaseContext`.
/// let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
/// fence_sqlite(&mut tx, "nightly", 2).await?;
/// // … the writes …
/// tx.commit().await?;
///
/// // A holder that slept through the end of its lease.
/// let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
/// let late = fence_sqlite(&mut tx, "nightly", 1).await;
/// assert!(matches!(late, Err(FenceError::Refused { higher: 2, .. })));
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "sqlite")]
pub async fn fence_sqlite(
    transaction: &mut Transaction<'_, Sqlite>,
    resource: &str,
    fence: u64,
) -> Result<(), FenceError> {
    let signed = signed(resource, fence)?;
    let failed = |source| failed(resource, fence, source);
    let raised = sqlx::query_scalar::<_, i64>(raise!("?1", "?2"))
        .bind(resource)
        .bind(signed)
        .fetch_all(&mut **transaction)
        .await
        .map_err(failed)?;
    if !raised.is_empty() {
        return Ok(());
    }
    let higher = sqlx::query_scalar("SELECT fence FROM lease_fence WHERE resource = ?1")
        .bind(resource)
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed)?;
    Err(refused(resource, fence, higher))
}

/// Lets a transaction write to `resource` only if nobody with a higher `fence` has; to be called
/// before its writes.
///
/// The fence is remembered with the commit of the transaction, in the table `lease_fence` of
/// [`MIGRATIONS`](crate::MIGRATIONS). The row stays locked until then, so that of two transactions
/// under different fences the one with the lower fence either commits before the other is let
/// through or is refused. `resource` is any name on which all writers agree, such as the key of the
/// lease; all of its fences must come from the same backend.
///
/// Works at every isolation level; above `READ COMMITTED` a transaction may fail with `40001` where
/// it would be refused or would have to wait.
///
/// # Cancel safety
///
/// Dropping the future leaves the fence raised in the transaction or not; roll it back.
///
/// # Errors
///
/// [`FenceError::Refused`] if a higher fence was seen. After any error roll the transaction back.
///
/// # Examples
///
/// ```no_run
/// # async fn delete(pool: sqlx::PgPool, cx: steadfast_lease::LeaseContext)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = pool.begin().await?;
/// steadfast_lease::fence_postgres(&mut tx, cx.key(), cx.fence()).await?;
/// sqlx::query("DELETE FROM session WHERE expires_at < now()").execute(&mut *tx).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "postgres")]
pub async fn fence_postgres(
    transaction: &mut Transaction<'_, Postgres>,
    resource: &str,
    fence: u64,
) -> Result<(), FenceError> {
    let signed = signed(resource, fence)?;
    let failed = |source| failed(resource, fence, source);
    let raised = sqlx::query_scalar::<_, i64>(raise!("$1", "$2"))
        .bind(resource)
        .bind(signed)
        .fetch_all(&mut **transaction)
        .await
        .map_err(failed)?;
    if !raised.is_empty() {
        return Ok(());
    }
    // The row is locked by the statement before, though it changed nothing.
    let higher = sqlx::query_scalar("SELECT fence FROM lease_fence WHERE resource = $1")
        .bind(resource)
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed)?;
    Err(refused(resource, fence, higher))
}

fn signed(resource: &str, fence: u64) -> Result<i64, FenceError> {
    i64::try_from(fence).map_err(|_| FenceError::TooLarge {
        resource: resource.to_owned(),
        fence,
    })
}

fn failed(resource: &str, fence: u64, source: sqlx::Error) -> FenceError {
    FenceError::Database {
        resource: resource.to_owned(),
        fence,
        source,
    }
}

fn refused(resource: &str, fence: u64, higher: i64) -> FenceError {
    FenceError::Refused {
        resource: resource.to_owned(),
        fence,
        higher: higher.cast_unsigned(),
    }
}
