use std::{
    fmt, io,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    FutureExt as _, Stream, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{Database, Either, Execute, Executor, Pool, Postgres, SqlStr, Sqlite, Transaction};
use steadfast_clock::Clock;
use steadfast_db_init::{Class, SqlitePools, classify_postgres, classify_sqlite};
use steadfast_sync::{
    BreakerOpen, BreakerPermit, BreakerState, CircuitBreaker, CircuitBreakerSnapshot, ConfigError,
};

/// Failures in a row after which calls are refused.
const FAILURES: u32 = 5;

/// For how long they are refused before one is tried, at first and at most.
const OPEN_FOR: Duration = Duration::from_secs(2);
const OPEN_FOR_AT_MOST: Duration = Duration::from_secs(30);

/// How a transaction of Postgres begins. The stores rely on the level: after each wait for a lock
/// they see what is there now. A process that was stopped in the middle loses its locks.
const BEGIN_POSTGRES: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
                              SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// What a guarded pool must know of the database behind it.
pub trait Judged: Database {
    /// A statement that shows that the database works.
    const PROBE: &'static str;

    /// What an error says about the next try.
    fn class(error: &sqlx::Error) -> Class;
}

impl Judged for Sqlite {
    const PROBE: &'static str = "SELECT count(*) FROM sqlite_schema";

    fn class(error: &sqlx::Error) -> Class {
        classify_sqlite(error)
    }
}

impl Judged for Postgres {
    const PROBE: &'static str = "SELECT 1";

    fn class(error: &sqlx::Error) -> Class {
        classify_postgres(error)
    }
}

/// A guarded pool of whatever database.
#[async_trait]
pub trait Guarded: fmt::Debug + Send + Sync {
    /// How the pool and its breaker are.
    fn snapshot(&self) -> PoolSnapshot;

    /// Looks whether calls are let through. Where it is time to try one, it is this one.
    ///
    /// # Errors
    ///
    /// Why calls are refused, for people.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing was tried.
    async fn check(&self) -> Result<(), String>;
}

/// How a pool of connections is, and the breaker in front of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// The breaker's name.
    pub name: String,
    /// Connections that are open.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// How many may be open.
    pub max: u32,
    /// How the breaker is.
    pub breaker: CircuitBreakerSnapshot,
}

/// A pool of the database behind a circuit breaker: the one way of the stores to it.
///
/// What counts as a failure is that the database cannot be reached, is locked, does not get to it
/// in time, or cannot read or write its files. An error of the statement, such as a broken
/// constraint, shows that the database works. While the breaker is open, calls fail at once with
/// [`BreakerOpen`].
#[derive(Debug)]
pub struct GuardedPool<DB: Database> {
    pool: Pool<DB>,
    breaker: Arc<CircuitBreaker>,
    begin: &'static str,
}

// Not derived, which would want the database's type itself to be `Clone`.
impl<DB: Database> Clone for GuardedPool<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            breaker: self.breaker.clone(),
            begin: self.begin,
        }
    }
}

impl GuardedPool<Sqlite> {
    /// The pools to read and to write, each with a breaker of its own: while another process holds
    /// the right to write, what only reads goes on.
    ///
    /// # Errors
    ///
    /// Never with the settings that this file names.
    pub fn pair(pools: &SqlitePools, clock: &Arc<dyn Clock>) -> Result<(Self, Self), ConfigError> {
        let reader = Self::guard(&pools.reader, "database-reader", "BEGIN", clock)?;
        // What reads before it writes must have the right to write from the start, so that it
        // cannot fail halfway because another has written since.
        let begin = "BEGIN IMMEDIATE";
        let writer = Self::guard(&pools.writer, "database-writer", begin, clock)?;
        Ok((reader, writer))
    }
}

impl GuardedPool<Postgres> {
    /// The one pool of a server.
    ///
    /// # Errors
    ///
    /// Never with the settings that this file names.
    pub fn one(pool: &Pool<Postgres>, clock: &Arc<dyn Clock>) -> Result<Self, ConfigError> {
        Self::guard(pool, "database", BEGIN_POSTGRES, clock)
    }
}

impl<DB: Judged> GuardedPool<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    fn guard(
        pool: &Pool<DB>,
        name: &str,
        begin: &'static str,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let breaker = CircuitBreaker::builder()
            .name(name)
            .consecutive_failures(FAILURES)
            .open_for(OPEN_FOR)
            .open_growth(2.0, OPEN_FOR_AT_MOST)
            .clock(clock.clone())
            .build()?;
        Ok(Self {
            pool: pool.clone(),
            breaker: Arc::new(breaker),
            begin,
        })
    }

    /// The pool itself, for whoever judges its errors without us.
    #[must_use]
    pub fn pool(&self) -> &Pool<DB> {
        &self.pool
    }

    /// How the breaker is.
    #[must_use]
    pub fn breaker(&self) -> CircuitBreakerSnapshot {
        self.breaker.snapshot()
    }

    /// Begins a transaction; of SQLite's writer, one that has the one right to write.
    pub(super) async fn begin(&self) -> sqlx::Result<Tx<DB>> {
        let permit = self.admit()?;
        let begun = self.pool.begin_with(self.begin).await;
        Ok(Tx {
            transaction: judged::<DB, _>(permit, begun)?,
            breaker: Arc::clone(&self.breaker),
        })
    }

    async fn try_transaction(&self) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        tx.execute(DB::PROBE).await.map(drop)
    }

    /// Asks the breaker for one call, which is to be judged.
    pub(super) fn admit(&self) -> sqlx::Result<BreakerPermit<'_>> {
        let admitted = self.breaker.try_acquire();
        admitted.map_err(|open| sqlx::Error::Io(io::Error::other(open)))
    }
}

#[async_trait]
impl<DB: Judged> Guarded for GuardedPool<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    fn snapshot(&self) -> PoolSnapshot {
        let open = self.pool.size();
        PoolSnapshot {
            name: self.breaker.name().to_owned(),
            open,
            idle: u32::try_from(self.pool.num_idle()).map_or(open, |idle| idle.min(open)),
            max: self.pool.options().get_max_connections(),
            breaker: self.breaker.snapshot(),
        }
    }

    async fn check(&self) -> Result<(), String> {
        let name = self.breaker.name();
        let refused = format!("{name} refuses calls after repeated failures");
        match self.breaker.state() {
            BreakerState::Closed => Ok(()),
            BreakerState::HalfOpen => match self.try_transaction().await {
                Ok(()) => Ok(()),
                Err(error) => Err(format!("{refused}: {error}")),
            },
            BreakerState::Open | BreakerState::Isolated => Err(refused),
        }
    }
}

/// The refusal by an open breaker in an error's chain of causes, if there is one.
#[must_use]
pub fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<BreakerOpen> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let error = error.downcast_ref::<io::Error>()?.get_ref()?;
        error.downcast_ref::<BreakerOpen>().copied()
    })
}

/// A transaction; rolled back when it is dropped.
#[derive(Debug)]
pub(super) struct Tx<DB: Database> {
    transaction: Transaction<'static, DB>,
    breaker: Arc<CircuitBreaker>,
}

impl<DB: Judged> Tx<DB> {
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        let done = self.transaction.commit().await;
        if let Err(error) = &done
            && is_failure::<DB>(error)
            && let Ok(permit) = self.breaker.try_acquire()
        {
            permit.failure();
        }
        done
    }

    /// Ends it without a change, before this returns. One that is dropped ends a moment later, and
    /// holds its locks until then.
    pub(super) async fn rollback(self) -> sqlx::Result<()> {
        self.transaction.rollback().await
    }
}

impl<DB: Database> Deref for Tx<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.transaction
    }
}

impl<DB: Database> DerefMut for Tx<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.transaction
    }
}

fn is_failure<DB: Judged>(error: &sqlx::Error) -> bool {
    DB::class(error).is_transient()
}

fn judge<DB: Judged>(permit: BreakerPermit<'_>, error: Option<&sqlx::Error>) {
    match error {
        Some(error) if is_failure::<DB>(error) => permit.failure(),
        _ => permit.success(),
    };
}

fn judged<DB: Judged, T>(permit: BreakerPermit<'_>, outcome: sqlx::Result<T>) -> sqlx::Result<T> {
    judge::<DB>(permit, outcome.as_ref().err());
    outcome
}

type Step<DB> = sqlx::Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>>;

/// The rows of a call; its end or its error is the verdict.
struct JudgedRows<'a, DB: Judged> {
    permit: Option<BreakerPermit<'a>>,
    rows: BoxStream<'a, Step<DB>>,
}

impl<DB: Judged> Stream for JudgedRows<'_, DB> {
    type Item = Step<DB>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Step<DB>>> {
        let step = std::task::ready!(self.rows.poll_next_unpin(cx));
        let error = match &step {
            Some(Ok(_)) => return Poll::Ready(step),
            Some(Err(error)) => Some(error),
            None => None,
        };
        if let Some(permit) = self.permit.take() {
            judge::<DB>(permit, error);
        }
        Poll::Ready(step)
    }
}

impl<'p, DB: Judged> Executor<'p> for &'p GuardedPool<DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step<DB>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        let admitted = async move {
            let permit = Some(self.admit()?);
            let rows = (&self.pool).fetch_many(query);
            Ok::<_, sqlx::Error>(JudgedRows::<DB> { permit, rows })
        };
        stream::once(admitted).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<DB::Row>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, DB>,
    {
        async move {
            let permit = self.admit()?;
            judged::<DB, _>(permit, (&self.pool).fetch_optional(query).await)
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<DB::Statement>>
    where
        'p: 'e,
    {
        async move {
            let permit = self.admit()?;
            judged::<DB, _>(permit, (&self.pool).prepare_with(sql, parameters).await)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use sqlx::SqlitePool;
    use steadfast_clock::SystemClock;

    use super::*;
    use crate::adapters::rows::is_transient;

    async fn pair(folder: &tempfile::TempDir) -> (GuardedPool<Sqlite>, GuardedPool<Sqlite>) {
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("x.db").display());
        let pools = SqlitePools {
            reader: SqlitePool::connect(&url).await.unwrap(),
            writer: SqlitePool::connect(&url).await.unwrap(),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        GuardedPool::pair(&pools, &clock).unwrap()
    }

    #[tokio::test]
    async fn errors_of_the_statement_do_not_open_the_breaker() {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = pair(&folder).await;
        let table = sqlx::query("CREATE TABLE t (x INTEGER PRIMARY KEY) STRICT");
        table.execute(&writer).await.unwrap();
        let twice = "INSERT INTO t VALUES (1)";
        sqlx::query(twice).execute(&writer).await.unwrap();
        for _ in 0..4 * FAILURES {
            sqlx::query(twice).execute(&writer).await.unwrap_err();
            let missing = sqlx::query("SELECT * FROM nothing").fetch_optional(&reader);
            missing.await.unwrap_err();
        }
        for pool in [reader, writer] {
            assert_eq!(pool.breaker().state, BreakerState::Closed);
            pool.check().await.unwrap();
        }
    }

    #[tokio::test]
    async fn refusal_is_told_on_every_way_and_is_transient() {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = pair(&folder).await;
        for pool in [&reader, &writer] {
            pool.breaker.isolate();
        }
        let refused = sqlx::query("SELECT 1")
            .fetch_all(&reader)
            .await
            .unwrap_err();
        assert!(refusal(&refused).is_some(), "{refused}");
        let refused = sqlx::query("SELECT 1")
            .fetch_optional(&reader)
            .await
            .unwrap_err();
        assert!(refusal(&refused).is_some(), "{refused}");
        let refused = writer.begin().await.unwrap_err();
        assert!(refusal(&refused).is_some(), "{refused}");
        assert!(is_transient::<Sqlite>(&refused));
        writer.check().await.unwrap_err();
    }
}
