use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use steadfast_clock::{Clock, SystemClock};
use tokio::sync::watch;

use crate::{
    AttemptError, Backend, BackendError, CloseReport, ConfigError, InitError, MigrationError,
    MigrationId, MigrationSet, PoolStats, Status,
};

/// One database, initialised once.
pub struct Database<B: Backend> {
    backend: B,
    migrations: MigrationSet,
    clock: Arc<dyn Clock>,
    pool: tokio::sync::Mutex<()>,
    ready: std::sync::Mutex<Option<Arc<B::Pool>>>,
    generation: AtomicU64,
    status: watch::Sender<Status>,
}

impl<B: Backend> std::fmt::Debug for Database<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Database`].
#[derive(Debug)]
pub struct DatabaseBuilder<B> {
    backend: B,
    migrations: MigrationSet,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    max_attempts: u32,
}

impl<B: Backend> DatabaseBuilder<B> {
    /// The migrations to apply; none unless told.
    #[must_use]
    pub fn migrations(mut self, migrations: MigrationSet) -> Self {
        self.migrations = migrations;
        self
    }

    /// How long one generation may take, all of its attempts together; 60 s unless told.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most attempts in one generation; 20 unless told.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// The clock; the machine's unless told.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the database; nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the option that cannot work.
    pub fn build(self) -> Result<Database<B>, ConfigError> {
        if self.max_attempts == 0 {
            return Err(ConfigError::new("max_attempts", "must be at least 1"));
        }
        if self.deadline.is_zero() {
            return Err(ConfigError::new("deadline", "must be longer than zero"));
        }
        Ok(Database {
            backend: self.backend,
            migrations: self.migrations,
            clock: self.clock,
            pool: tokio::sync::Mutex::default(),
            ready: std::sync::Mutex::default(),
            generation: AtomicU64::new(0),
            status: watch::Sender::new(Status::Idle),
        })
    }
}

impl<B: Backend> Database<B> {
    /// A builder with the defaults.
    pub fn builder(backend: B) -> DatabaseBuilder<B> {
        DatabaseBuilder {
            backend,
            migrations: MigrationSet::new(),
            clock: Arc::new(SystemClock),
            deadline: Duration::from_secs(60),
            max_attempts: 20,
        }
    }

    /// Initialises the database, or joins the initialisation at work.
    ///
    /// # Errors
    ///
    /// [`InitError`].
    pub async fn initialize(&self) -> Result<Arc<B::Pool>, Arc<InitError>> {
        let _turn = self.pool.lock().await;
        if let Some(pool) = self.get() {
            return Ok(pool);
        }
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.status.send_replace(Status::Connecting {
            generation,
            attempt: 1,
        });
        match self.attempt(generation).await {
            Ok(pool) => {
                let pool = Arc::new(pool);
                *self.ready.lock().unwrap_or_else(|e| e.into_inner()) = Some(pool.clone());
                self.status.send_replace(Status::Ready { generation });
                Ok(pool)
            }
            Err(last) => {
                let error = Arc::new(InitError::Exhausted { attempts: 1, last });
                self.status.send_replace(Status::Failed {
                    generation,
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }

    async fn attempt(&self, generation: u64) -> Result<B::Pool, AttemptError> {
        let pool = self
            .backend
            .connect()
            .await
            .map_err(AttemptError::Connect)?;
        self.backend.ping(&pool).await.map_err(AttemptError::Ping)?;
        self.status.send_replace(Status::Migrating {
            generation,
            attempt: 1,
        });
        self.backend
            .migrate(&pool, &self.migrations)
            .await
            .map_err(AttemptError::Migrate)?;
        Ok(pool)
    }

    /// The pool, initialising the database first if need be.
    ///
    /// # Errors
    ///
    /// [`InitError`].
    pub async fn ensure_initialized(&self) -> Result<Arc<B::Pool>, Arc<InitError>> {
        match self.get() {
            Some(pool) => Ok(pool),
            None => self.initialize().await,
        }
    }

    /// The pool, if the database is ready.
    #[must_use]
    pub fn get(&self) -> Option<Arc<B::Pool>> {
        self.ready.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Where the database stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows the status.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// What the pool holds now; `None` unless ready.
    #[must_use]
    pub fn stats(&self) -> Option<PoolStats> {
        self.get().map(|pool| self.backend.stats(&pool))
    }

    /// Asks the server for an answer.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when it does not answer.
    pub async fn ping(&self) -> Result<(), BackendError> {
        match self.get() {
            Some(pool) => self.backend.ping(&pool).await,
            None => Err(BackendError::new(
                crate::Class::Transient,
                "the database is not initialised",
            )),
        }
    }

    /// The migrations that initialising would apply; changes nothing.
    ///
    /// # Errors
    ///
    /// [`MigrationError`].
    pub async fn pending(&self) -> Result<Vec<MigrationId>, MigrationError> {
        self.backend.pending(&self.migrations).await
    }

    /// Closes the pool and waits until it is empty, `within` at most.
    pub async fn close(&self, within: Duration) -> CloseReport {
        let started = self.clock.monotonic();
        let _turn = self.pool.lock().await;
        let pool = self.ready.lock().unwrap_or_else(|e| e.into_inner()).take();
        let generation = self.status.borrow().generation();
        let mut leaked = 0;
        if let Some(pool) = pool {
            self.status.send_replace(Status::Closing { generation });
            if tokio::time::timeout(within, self.backend.close(&pool))
                .await
                .is_err()
            {
                leaked = self.backend.stats(&pool).in_use();
            }
            self.status.send_replace(Status::Closed { generation });
        }
        CloseReport {
            generation,
            leaked,
            complete: leaked == 0,
            waited: self.clock.monotonic() - started,
        }
    }
}
