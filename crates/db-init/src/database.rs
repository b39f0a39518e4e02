use std::{fmt, sync::Arc, time::Duration};

use steadfast_clock::Instant;
use steadfast_sync::{InitCell, InitState, Semaphore};
use tokio::{
    sync::{broadcast, watch},
    time::timeout,
};

use crate::{
    Alert, Backend, BackendError, Class, CloseReport, DatabaseBuilder, DatabaseSnapshot, InitError,
    MigrationError, MigrationId, Phase, PoolStats, Status,
    generation::Generation,
    shared::{Closing, Failure, Shared},
};

type CellError = steadfast_sync::InitError<Failure>;
type Outcome<P> = Result<Arc<P>, CellError>;

/// One database: opened, migrated and closed by whoever comes first, shared by everybody.
///
/// Share it in an `Arc`. It does nothing until it is asked to.
///
/// # Guarantees
///
/// - Concurrent calls to [`initialize`](Self::initialize) make one pool. All of them join the
///   attempt in flight and get its outcome: the same pool, or the same error object. None
///   returns early.
/// - Any caller that is polled drives the attempt. Dropping one changes nothing for the others;
///   when the last is dropped, the attempt is dropped with it and the database is idle again.
/// - The pool is published only after connect, ping and migrate have succeeded, and never by an
///   attempt that [`close`](Self::close) has stopped.
/// - A failure is not remembered: the next call starts a new generation, the circuit breaker
///   permitting. Permanent errors are never retried.
/// - After [`close`](Self::close) the database can be initialised again.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use steadfast_db_init::{Database, MigrationSet, SqliteBackend, SqliteOptions};
///
/// const MIGRATIONS: &[(u32, &str, &str)] =
///     &[(1, "CREATE TABLE note (text TEXT) STRICT", "CREATE TABLE note (text text)")];
///
/// let directory = tempfile::tempdir()?;
/// let backend = SqliteBackend::new(directory.path().join("app.db"), SqliteOptions::default())?;
/// let migrations = MigrationSet::new().add("notes", MIGRATIONS)?;
/// let database = Database::builder(backend).migrations(migrations).build()?;
///
/// let pools = database.initialize().await?;
/// let mut transaction = pools.begin_write().await?;
/// sqlx::query("INSERT INTO note VALUES ('hello')").execute(&mut *transaction).await?;
/// transaction.commit().await?;
///
/// let report = database.close(Duration::from_secs(5)).await;
/// assert_eq!(report.leaked, 0);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
pub struct Database<B: Backend> {
    shared: Arc<Shared<B>>,
    cell: InitCell<B::Pool, Failure>,
    concurrency: Option<Semaphore>,
}

impl<B: Backend> Database<B> {
    /// A builder with the defaults.
    #[must_use]
    pub fn builder(backend: B) -> DatabaseBuilder<B> {
        DatabaseBuilder::new(backend)
    }

    pub(crate) fn from_parts(
        shared: Shared<B>,
        cell: InitCell<B::Pool, Failure>,
        concurrency: Option<Semaphore>,
    ) -> Self {
        Self {
            shared: Arc::new(shared),
            cell,
            concurrency,
        }
    }
    /// Opens the database and brings its schema up to date, or joins the attempt that is doing
    /// so; returns the pool at once when it is open.
    ///
    /// During a [`close`](Self::close) it waits until that has ended and initialises again.
    ///
    /// # Errors
    ///
    /// [`InitError`], the same object for every caller that joined the attempt.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it leaves the attempt to the other callers; the last
    /// one's drop ends the attempt, rolls back an unfinished migration and closes its pool.
    pub async fn initialize(&self) -> Result<Arc<B::Pool>, Arc<InitError>> {
        self.shared.not_closing().await;
        let shared = Arc::clone(&self.shared);
        let init = |generation| Generation::new(shared, generation).run();
        let outcome = self.cell.get_or_init(init).await;
        self.settle(outcome)
    }

    /// As [`initialize`](Self::initialize), but does not join an attempt that is in flight, nor
    /// wait for a close.
    ///
    /// # Errors
    ///
    /// [`InitError::AlreadyInProgress`], and those of [`initialize`](Self::initialize).
    ///
    /// # Cancel safety
    ///
    /// As [`initialize`](Self::initialize).
    pub async fn try_initialize(&self) -> Result<Arc<B::Pool>, Arc<InitError>> {
        if self.shared.is_closing() {
            return Err(Arc::new(InitError::AlreadyInProgress));
        }
        let shared = Arc::clone(&self.shared);
        let init = |generation| Generation::new(shared, generation).run();
        let outcome = self.cell.try_init(init).await;
        self.settle(outcome)
    }

    /// The pool; initialises the database first where it is not ready.
    ///
    /// On a ready database it costs what [`get`](Self::get) costs.
    ///
    /// # Errors
    ///
    /// As [`initialize`](Self::initialize).
    ///
    /// # Cancel safety
    ///
    /// As [`initialize`](Self::initialize).
    pub async fn ensure_initialized(&self) -> Result<Arc<B::Pool>, Arc<InitError>> {
        match self.get() {
            Some(pool) => Ok(pool),
            None => self.initialize().await,
        }
    }

    /// The pool, if the database is ready.
    #[must_use]
    pub fn get(&self) -> Option<Arc<B::Pool>> {
        self.cell.get()
    }

    /// Where the database stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Follows the status. A receiver that is slow sees the latest one and may miss others.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.shared.subscribe()
    }

    /// How it is now: where it stands, how often it failed in a row and why, and its pool.
    ///
    /// These are read one after the other, in this order, while the database goes on.
    #[must_use]
    pub fn snapshot(&self) -> DatabaseSnapshot {
        let status = self.status();
        let (failures, last_error) = self.shared.failures.figures();
        DatabaseSnapshot {
            name: Arc::clone(self.shared.failures.name()),
            status,
            failures,
            last_error,
            stats: self.stats(),
        }
    }

    /// Alerts from now on: that it fails repeatedly, and that it is ready after that. Each is an
    /// event of `tracing` as well.
    ///
    /// A reader that is more than [`ALERT_BUFFER`](crate::ALERT_BUFFER) alerts behind misses the
    /// oldest, and is told how many.
    #[must_use]
    pub fn alerts(&self) -> broadcast::Receiver<Alert> {
        self.shared.failures.alerts()
    }

    /// What the pool holds now; `None` while [`get`](Self::get) has none.
    #[must_use]
    pub fn stats(&self) -> Option<PoolStats> {
        let pool = self.get()?;
        Some(self.shared.backend.stats(&pool))
    }

    /// Asks the server for an answer, through the pool.
    ///
    /// # Errors
    ///
    /// [`BackendError`], naming the server, when it does not answer; transient when the database
    /// is not ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives its connection back.
    pub async fn ping(&self) -> Result<(), BackendError> {
        match self.get() {
            Some(pool) => self.shared.backend.ping(&pool).await,
            None => {
                let status = self.status();
                let action = format!("the database is not ready: it is {status}");
                Err(BackendError::new(Class::Transient, action))
            }
        }
    }

    /// The migrations that initialising would apply now; changes nothing, and does not create
    /// the database.
    ///
    /// # Errors
    ///
    /// [`MigrationError`], such as initialising would end with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes its connection.
    pub async fn pending(&self) -> Result<Vec<MigrationId>, MigrationError> {
        let migrations = &self.shared.migrations;
        self.shared.backend.pending(migrations).await
    }

    /// Stops an initialisation at work, closes the pool, and waits until every connection has
    /// come back, `within` at most.
    ///
    /// [`get`](Self::get) returns `None` from then on, and callers of an initialisation at work
    /// get [`InitError::ShutDown`]. Connections that are still out when the time is up
    /// are reported as leaked; the database is closed all the same. Concurrent calls take turns,
    /// and the later ones find nothing to close.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped after that, the database counts as closed, without a
    /// report: a pool whose close had begun takes no new work, and its connections are closed as
    /// they come back.
    pub async fn close(&self, within: Duration) -> CloseReport {
        let started = self.shared.clock.monotonic();
        let left = || within.saturating_sub(self.elapsed(started));
        let mut closing = Close {
            database: self,
            closing: self.shared.begin_closing(|| self.newest()),
        };
        // An attempt at work has been told to stop, and ends its turn when it has closed what it
        // had opened.
        let turn = timeout(left(), self.shared.turn_to_close()).await;
        let mut report = CloseReport {
            generation: closing.closing.generation(),
            leaked: 0,
            complete: turn.is_ok(),
            waited: Duration::ZERO,
        };
        if let Some(pool) = closing.take_back() {
            let close = self.shared.backend.close(&pool);
            if timeout(left(), close).await.is_err() {
                report.complete = false;
                report.leaked = self.shared.backend.stats(&pool).in_use();
                let (database, leaked) = (self.shared.failures.name(), report.leaked);
                tracing::warn!(%database, leaked, ?within, "database connections leaked");
            }
        }
        drop(closing);
        report.waited = self.elapsed(started);
        report
    }

    /// Publishes how a generation ended: after the cell has it, so that who sees the status can
    /// rely on it, and in the same poll.
    fn settle(&self, outcome: Outcome<B::Pool>) -> Result<Arc<B::Pool>, Arc<InitError>> {
        match outcome {
            Ok(pool) => {
                self.shared.publish(|status| match self.cell.state() {
                    InitState::Ready(generation) if is_at_work(status, generation) => {
                        Some(Status::Ready { generation })
                    }
                    _ => None,
                });
                Ok(pool)
            }
            Err(CellError::Failed(failure)) => {
                let generation = failure.generation;
                let error = Arc::clone(&failure.error);
                self.shared.publish(|status| {
                    is_at_work(status, generation).then(|| Status::Failed {
                        generation,
                        error: Arc::clone(&error),
                    })
                });
                Err(error)
            }
            Err(CellError::Panicked { message }) => Err(Arc::new(InitError::Panicked {
                phase: Phase::Connect,
                message: message.to_string(),
            })),
            Err(CellError::AlreadyInProgress | CellError::Recursive) => {
                Err(Arc::new(InitError::AlreadyInProgress))
            }
            Err(_) => Err(Arc::new(InitError::ShutDown)),
        }
    }

    /// The number of the newest generation, 0 if there was none.
    fn newest(&self) -> u64 {
        self.cell.snapshot().attempts
    }

    pub(crate) fn concurrency(&self) -> Option<&Semaphore> {
        self.concurrency.as_ref()
    }

    /// The generation of the pool that [`get`](Self::get) returns.
    pub(crate) fn ready_generation(&self) -> Option<u64> {
        match self.cell.state() {
            InitState::Ready(generation) => Some(generation),
            _ => None,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.monotonic()
    }

    fn elapsed(&self, started: Instant) -> Duration {
        let now = self.shared.clock.monotonic();
        now.saturating_duration_since(started)
    }
}

impl<B: Backend> fmt::Debug for Database<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// One call to close. However it ends, nothing is published then and no pool is left open by a
/// generation that began before.
struct Close<'a, B: Backend> {
    database: &'a Database<B>,
    /// Ends after the pool has been taken back.
    closing: Closing<'a, B>,
}

impl<B: Backend> Close<'_, B> {
    /// Takes back what was published, drops an attempt that did not end in time, and returns the
    /// pool that was open.
    fn take_back(&mut self) -> Option<B::Pool> {
        let Database { shared, cell, .. } = self.database;
        // First, because an attempt that is dropped takes its pool with it.
        let open = shared.take_open();
        loop {
            // An attempt that is dropped may be in the middle of a poll. It learns that it is
            // stopped before it can leave a pool open that is not found here.
            let newest = self.database.newest();
            shared.stop(newest);
            cell.reset();
            // A caller that has not seen this close may have begun another in between. If it was
            // dropped, it has to be stopped as well; if not, later callers may join it. None of
            // them opens anything before the close has ended.
            if self.database.newest() == newest {
                break;
            }
        }
        shared.take_open().or(open)
    }
}

impl<B: Backend> Drop for Close<'_, B> {
    fn drop(&mut self) {
        drop(self.take_back());
    }
}

fn is_at_work(status: &Status, of: u64) -> bool {
    match status {
        Status::Connecting { generation, .. } | Status::Migrating { generation, .. } => {
            *generation == of
        }
        _ => false,
    }
}
