use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use steadfast_clock::{Clock, SystemClock};

use super::micros;
use crate::{BackendError, Fencing, Grant, Guarantees, LockBackend, MAX_TTL, Scope};

/// Whether the lease is free is decided under the lock of its row, by the time at which the lock
/// was got: `clock_timestamp()`, not `now()`, which is from before the wait.
const ACQUIRE: &str = "
INSERT INTO lease_lock AS lease (key, owner, fence, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 microsecond')
ON CONFLICT (key) DO UPDATE SET
  owner = excluded.owner,
  fence = lease.fence + 1,
  expires_at = clock_timestamp() + $3 * interval '1 microsecond'
WHERE lease.expires_at <= clock_timestamp()
RETURNING fence";

const RENEW: &str = "
UPDATE lease_lock SET expires_at = clock_timestamp() + $3 * interval '1 microsecond'
WHERE key = $1 AND fence = $2 AND expires_at > clock_timestamp()";

const RELEASE: &str = "
UPDATE lease_lock SET expires_at = '-infinity'
WHERE key = $1 AND fence = $2 AND expires_at > '-infinity'";

/// A [`LockBackend`] in a Postgres database, for all clients of its server.
///
/// It takes a pool of connections with the table of [`MIGRATIONS`](crate::MIGRATIONS). Each
/// operation is one statement and leaves nothing behind in the session, so that a pooler in
/// transaction mode will do.
///
/// - Time: the server's time of day. The holder goes by its own monotonic clock; a step of the
///   server's may end a lease early, and then the fence protects.
/// - Fences: a row is kept after its release, so that the next fence is one higher. This holds over
///   a crash of the server as far as its commits do. With `synchronous_commit = off`, after a
///   failover to a replica that is not synchronous, or after a restore from a backup, the last
///   commits can be missing, and a fence that was given out can be given out again.
/// - Size: one row for each key that was ever leased; nothing is removed.
/// - Time limits: [`LeaseLock`](crate::LeaseLock) has one for each call. A call that is dropped
///   while it waits for a connection does nothing; later, its statement may still be executed, and
///   a lease that nobody knows of expires.
#[derive(Clone, Debug)]
pub struct PostgresBackend {
    pool: PgPool,
}

impl PostgresBackend {
    /// A backend in the database of `pool`.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    fn failed(&self, operation: &str, source: &sqlx::Error) -> BackendError {
        let options = self.pool.connect_options();
        let message = format!(
            "cannot {operation} in table `lease_lock` of database `{}` at {}:{}: {source}",
            options.get_database().unwrap_or_default(),
            options.get_host(),
            options.get_port(),
        );
        if is_transient(source) {
            BackendError::transient(message)
        } else {
            BackendError::permanent(message)
        }
    }
}

#[async_trait]
impl LockBackend for PostgresBackend {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        let sent = SystemClock.monotonic();
        // All rows, not the first: the statement has committed when the last answer is there.
        let fences = sqlx::query_scalar::<_, i64>(ACQUIRE)
            .bind(key)
            .bind(owner)
            .bind(micros(ttl.min(MAX_TTL)))
            .fetch_all(&self.pool)
            .await
            .map_err(|source| self.failed("acquire a lease", &source))?;
        let fence = fences.first();
        Ok(fence.map(|fence| Grant::new(key, owner, fence.cast_unsigned(), sent, ttl)))
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        let sent = SystemClock.monotonic();
        let renewed = sqlx::query(RENEW)
            .bind(&*grant.key)
            .bind(grant.fence.cast_signed())
            .bind(micros(ttl.min(MAX_TTL)))
            .execute(&self.pool)
            .await
            .map_err(|source| self.failed("renew a lease", &source))?;
        let (key, owner) = (&grant.key, &grant.owner);
        let is_held = renewed.rows_affected() > 0;
        Ok(is_held.then(|| Grant::new(key.clone(), owner.clone(), grant.fence, sent, ttl)))
    }

    async fn release(&self, grant: &Grant) -> Result<(), BackendError> {
        let released = sqlx::query(RELEASE)
            .bind(&*grant.key)
            .bind(grant.fence.cast_signed())
            .execute(&self.pool)
            .await;
        match released {
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed("release a lease", &source)),
        }
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Scope::Cluster, Fencing::Monotonic)
    }
}

/// A lost connection, none free, and the `SQLSTATE`s that pass: connection exceptions (08),
/// conflicts with another transaction (40, `55P03`), a lack of resources (53), a server that is
/// read-only during a failover (`25006`), interventions of an operator (57).
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            let class = code.get(..2).unwrap_or_default();
            matches!(class, "08" | "40" | "53" | "57") || matches!(&*code, "25006" | "55P03")
        }),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        _ => false,
    }
}
