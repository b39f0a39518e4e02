use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlitePool;
use steadfast_clock::{Clock, SystemClock};

use super::{
    host_time::{HostTime, boot},
    micros,
};
use crate::{BackendError, Fencing, Grant, Guarantees, LockBackend, MAX_TTL, Scope};

/// Whether the row is held at `?1` (boot), `?2` (monotonic) and `?3` (wall).
macro_rules! held {
    () => {
        "held AND CASE WHEN boot <> '' AND boot = ?1 THEN ?2 < until_monotonic
         ELSE ?3 BETWEEN until_wall - 2 * ttl AND until_wall - 1 END"
    };
}

const ACQUIRE: &str = concat!(
    "INSERT INTO lease_lock (boot, until_monotonic, until_wall, key, owner, ttl, fence, held)
     VALUES (?1, ?2 + ?6, ?3 + ?6, ?4, ?5, ?6, 1, TRUE)
     ON CONFLICT (key) DO UPDATE SET
       boot = excluded.boot, until_monotonic = excluded.until_monotonic,
       until_wall = excluded.until_wall, owner = excluded.owner, ttl = excluded.ttl,
       fence = fence + 1, held = TRUE
     WHERE NOT (",
    held!(),
    ") RETURNING fence"
);

/// A renewal that arrives late, after another, must not take away what that one gave.
const RENEW: &str = concat!(
    "UPDATE lease_lock SET
       until_monotonic = CASE WHEN boot = ?1 THEN max(until_monotonic, ?2 + ?6)
                         ELSE ?2 + ?6 END,
       until_wall = CASE WHEN boot = ?1 THEN max(until_wall, ?3 + ?6) ELSE ?3 + ?6 END,
       ttl = ?6, boot = ?1
     WHERE key = ?4 AND fence = ?5 AND ",
    held!(),
    " RETURNING fence"
);

const RELEASE: &str = "UPDATE lease_lock SET held = FALSE WHERE key = ?1 AND fence = ?2 AND held";

/// A [`LockBackend`] in a SQLite file, for the processes of one host.
///
/// It takes a pool of connections that may write, with the table of
/// [`MIGRATIONS`](crate::MIGRATIONS). Each operation is one statement, which takes the write lock
/// before it reads, as `BEGIN IMMEDIATE` does. Give the connections a busy timeout (sqlx does by
/// default).
///
/// - Time: on Linux, the system's monotonic clock, which the processes of a host share with each
///   other and with the clock that their holders go by; setting the time of day changes nothing.
///   A lease from before a reboot lasts until its end by the time of day, twice its time to live at
///   most if that went back. So does every lease on other systems, where a step of the time of day
///   may end a lease early; the fence then protects. All processes must share one kernel and one
///   time namespace: not for files on a network share.
/// - Fences: a row is kept after its release, so that the next fence is one higher. With
///   `synchronous = FULL`, SQLite's default, this holds over a loss of power.
/// - Size: one row for each key that was ever leased; nothing is removed.
#[derive(Clone, Debug)]
pub struct SqliteBackend {
    pool: SqlitePool,
    boot: String,
}

impl SqliteBackend {
    /// A backend in the database of `pool`.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool, boot: boot() }
    }

    /// The fence of the lease, if it was free at `now`.
    async fn acquire_at(
        &self,
        now: &HostTime,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<i64>, sqlx::Error> {
        let query = sqlx::query_scalar(ACQUIRE)
            .bind(&now.boot)
            .bind(now.monotonic)
            .bind(now.wall)
            .bind(key)
            .bind(owner)
            .bind(micros(ttl.min(MAX_TTL)));
        // All rows, not the first: what `fetch_optional` drops is reset, and an error of the
        // commit would go unseen.
        Ok(query.fetch_all(&self.pool).await?.pop())
    }

    /// Whether the lease was held at `now` and is extended.
    async fn renew_at(
        &self,
        now: &HostTime,
        grant: &Grant,
        ttl: Duration,
    ) -> Result<bool, sqlx::Error> {
        let query = sqlx::query_scalar::<_, i64>(RENEW)
            .bind(&now.boot)
            .bind(now.monotonic)
            .bind(now.wall)
            .bind(&*grant.key)
            .bind(grant.fence.cast_signed())
            .bind(micros(ttl.min(MAX_TTL)));
        Ok(!query.fetch_all(&self.pool).await?.is_empty())
    }

    fn failed(&self, operation: &str, source: sqlx::Error) -> BackendError {
        let file = self.pool.connect_options().get_filename().to_owned();
        let message = format!(
            "cannot {operation} in table `lease_lock` of {}: {source}",
            file.display()
        );
        if is_transient(&source) {
            BackendError::transient(message)
        } else {
            BackendError::permanent(message)
        }
    }
}

#[async_trait]
impl LockBackend for SqliteBackend {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        let sent = SystemClock.monotonic();
        let now = HostTime::now(&self.boot);
        let fence = self.acquire_at(&now, key, owner, ttl).await;
        let fence = fence.map_err(|source| self.failed("acquire a lease", source))?;
        Ok(fence.map(|fence| Grant::new(key, owner, fence.cast_unsigned(), sent, ttl)))
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        let sent = SystemClock.monotonic();
        let now = HostTime::now(&self.boot);
        let renewed = self.renew_at(&now, grant, ttl).await;
        let renewed = renewed.map_err(|source| self.failed("renew a lease", source))?;
        let (key, owner) = (&grant.key, &grant.owner);
        Ok(renewed.then(|| Grant::new(key.clone(), owner.clone(), grant.fence, sent, ttl)))
    }

    async fn release(&self, grant: &Grant) -> Result<(), BackendError> {
        let released = sqlx::query(RELEASE)
            .bind(&*grant.key)
            .bind(grant.fence.cast_signed())
            .execute(&self.pool)
            .await;
        match released {
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed("release a lease", source)),
        }
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Scope::Host, Fencing::Monotonic)
    }
}

/// `BUSY`, `LOCKED`, `NOMEM`, `IOERR` and `PROTOCOL` with their families, recovery and rollback
/// under way; no free connection, a lost worker.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            code.is_some_and(|code| {
                matches!(code & 0xff, 5 | 6 | 7 | 10 | 15) || matches!(code, 264 | 776)
            })
        }
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;

    const SEC: i64 = 1_000_000;
    const TTL: Duration = Duration::from_secs(10);

    async fn backend() -> SqliteBackend {
        let options = SqlitePoolOptions::new().max_connections(1);
        let pool = options.connect("sqlite::memory:").await.unwrap();
        let table = sqlx::raw_sql(crate::MIGRATIONS[0].1);
        table.execute(&pool).await.unwrap();
        SqliteBackend::new(pool)
    }

    fn at(boot: &str, monotonic: i64, wall: i64) -> HostTime {
        HostTime {
            boot: boot.to_owned(),
            monotonic: monotonic * SEC,
            wall: wall * SEC,
        }
    }

    /// The fence, if a lease is granted at this time.
    async fn acquire(backend: &SqliteBackend, now: HostTime) -> Option<i64> {
        backend.acquire_at(&now, "key", "a", TTL).await.unwrap()
    }

    #[tokio::test]
    async fn steps_of_the_time_of_day_change_nothing_within_one_boot() {
        let backend = backend().await;
        assert_eq!(acquire(&backend, at("x", 100, 1_000)).await, Some(1));
        for wall in [0, 1_000, 9_000] {
            assert_eq!(acquire(&backend, at("x", 109, wall)).await, None);
        }
        assert_eq!(acquire(&backend, at("x", 110, 0)).await, Some(2));
    }

    #[tokio::test]
    async fn lease_from_before_a_reboot_ends_by_the_time_of_day() {
        for boots in [["x", "y"], ["", ""]] {
            let backend = backend().await;
            let [before, after] = boots;
            assert_eq!(acquire(&backend, at(before, 100, 1_000)).await, Some(1));
            for wall in [991, 1_000, 1_009] {
                assert_eq!(
                    acquire(&backend, at(after, 200, wall)).await,
                    None,
                    "{wall}"
                );
            }
            assert_eq!(acquire(&backend, at(after, 0, 1_010)).await, Some(2));
            // The time of day was lost: waiting for it could last for years.
            assert_eq!(acquire(&backend, at("z", 0, 5)).await, Some(3));
        }
    }

    #[tokio::test]
    async fn renewal_that_arrives_late_does_not_shorten_the_lease() {
        let backend = backend().await;
        assert_eq!(acquire(&backend, at("x", 100, 0)).await, Some(1));
        let grant = Grant::new("key", "a", 1, SystemClock.monotonic(), TTL);
        for second in [109, 104] {
            let now = at("x", second, 0);
            assert!(backend.renew_at(&now, &grant, TTL).await.unwrap());
        }
        assert_eq!(acquire(&backend, at("x", 118, 0)).await, None);
        let late = at("x", 119, 0);
        assert!(!backend.renew_at(&late, &grant, TTL).await.unwrap());
        assert_eq!(acquire(&backend, late).await, Some(2));
    }

    #[tokio::test]
    async fn renewal_that_arrives_late_does_not_shorten_a_lease_by_the_time_of_day() {
        let backend = backend().await;
        assert_eq!(acquire(&backend, at("", 0, 100)).await, Some(1));
        let grant = Grant::new("key", "a", 1, SystemClock.monotonic(), TTL);
        for second in [109, 104] {
            let now = at("", 0, second);
            assert!(backend.renew_at(&now, &grant, TTL).await.unwrap());
        }
        assert_eq!(acquire(&backend, at("", 0, 118)).await, None);
        assert_eq!(acquire(&backend, at("", 0, 119)).await, Some(2));
    }
}
