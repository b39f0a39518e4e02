use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    Backend, BackendError, Class, Dialect, LedgerOperation, MigrationError, MigrationId,
    MigrationSet, PoolStats,
    ledger::{LedgerRow, plan},
};

/// The most connections of a [`MemoryPool`].
const MAX_CONNECTIONS: u32 = 8;

/// A fake database in memory, for tests; clones and their pools share it.
///
/// It keeps a ledger and counts, and has no tables: it accepts SQL that begins with a keyword of
/// SQL and refuses all other. [`set_down`](Self::set_down) makes it unreachable.
///
/// # Examples
///
/// ```
/// use steadfast_db_init::{Database, MemoryBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = MemoryBackend::new();
/// let database = Database::builder(server.clone()).build()?;
/// let _connection = database.initialize().await?.acquire()?;
/// assert_eq!(server.connects(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    server: Arc<Server>,
}

#[derive(Debug, Default)]
struct Server {
    is_down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Vec<LedgerRow>,
    connects: u64,
}

impl MemoryBackend {
    /// An empty database that is up.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the database unreachable, or reachable again.
    pub fn set_down(&self, is_down: bool) {
        self.server.is_down.store(is_down, Ordering::Release);
    }

    /// How many times a pool was asked for, successfully or not.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.state().connects
    }

    /// The migrations that were applied, in order.
    #[must_use]
    pub fn applied(&self) -> Vec<MigrationId> {
        let state = self.state();
        state.ledger.iter().map(|row| row.id.clone()).collect()
    }

    fn reach(&self) -> Result<(), BackendError> {
        if self.server.is_down.load(Ordering::Acquire) {
            let action = "cannot reach the database in memory";
            return Err(BackendError::new(Class::Transient, action));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.server.state)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    type Pool = MemoryPool;

    fn location(&self) -> String {
        "the database in memory".to_owned()
    }

    async fn connect(&self) -> Result<MemoryPool, BackendError> {
        // A real one would wait for its server here.
        tokio::task::yield_now().await;
        self.state().connects += 1;
        self.reach()?;
        Ok(MemoryPool::new())
    }

    async fn ping(&self, pool: &MemoryPool) -> Result<(), BackendError> {
        self.reach()?;
        pool.acquire().map(drop)
    }

    async fn migrate(
        &self,
        pool: &MemoryPool,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        tokio::task::yield_now().await;
        let reach = |source| MigrationError::Ledger {
            operation: LedgerOperation::Reach,
            source,
        };
        self.reach().map_err(reach)?;
        let _connection = pool.acquire().map_err(reach)?;
        let mut state = self.state();
        let mut rows = Vec::new();
        for migration in plan(state.ledger.clone(), migrations, Dialect::Sqlite)? {
            let (id, sql) = (migration.id(), migration.sql(Dialect::Sqlite));
            run(sql).map_err(|source| MigrationError::Apply {
                id: id.clone(),
                source,
            })?;
            rows.push(LedgerRow {
                id,
                checksum: migration.checksum(Dialect::Sqlite),
            });
        }
        let applied = rows.iter().map(|row| row.id.clone()).collect();
        state.ledger.append(&mut rows);
        Ok(applied)
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        self.reach().map_err(|source| MigrationError::Ledger {
            operation: LedgerOperation::Reach,
            source,
        })?;
        let ledger = self.state().ledger.clone();
        let plan = plan(ledger, migrations, Dialect::Sqlite)?;
        Ok(plan.iter().map(|migration| migration.id()).collect())
    }

    fn stats(&self, pool: &MemoryPool) -> PoolStats {
        PoolStats {
            open: *pool.state.in_use.borrow(),
            idle: 0,
            max: MAX_CONNECTIONS,
        }
    }

    async fn close(&self, pool: &MemoryPool) {
        pool.state.is_closed.store(true, Ordering::SeqCst);
        let mut in_use = pool.state.in_use.subscribe();
        // The sender is in `pool`, so the channel cannot close.
        let _ = in_use.wait_for(|count| *count == 0).await;
    }
}

fn run(sql: &str) -> Result<(), BackendError> {
    const KEYWORDS: [&str; 7] = [
        "ALTER", "CREATE", "DELETE", "DROP", "INSERT", "SELECT", "UPDATE",
    ];

    let word = sql.split_whitespace().next().unwrap_or_default();
    if KEYWORDS.contains(&word.to_uppercase().as_str()) {
        return Ok(());
    }
    let action = format!("syntax error near `{word}`");
    Err(BackendError::new(Class::Permanent, action))
}

/// The pool of a [`MemoryBackend`]: eight connections, opened when they are acquired.
#[derive(Clone, Debug)]
pub struct MemoryPool {
    state: Arc<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    is_closed: AtomicBool,
    in_use: watch::Sender<u32>,
}

impl MemoryPool {
    fn new() -> Self {
        Self {
            state: Arc::new(PoolState {
                is_closed: AtomicBool::new(false),
                in_use: watch::Sender::new(0),
            }),
        }
    }

    /// Takes a connection; dropping it gives it back.
    ///
    /// # Errors
    ///
    /// Permanent when the pool is closed, transient when all of its connections are in use.
    pub fn acquire(&self) -> Result<MemoryConnection, BackendError> {
        let mut refusal = None;
        self.state.in_use.send_if_modified(|count| {
            if self.state.is_closed.load(Ordering::SeqCst) {
                refusal = Some((Class::Permanent, "the pool is closed"));
            } else if *count >= MAX_CONNECTIONS {
                refusal = Some((Class::Transient, "all connections of the pool are in use"));
            } else {
                *count += 1;
            }
            refusal.is_none()
        });
        match refusal {
            Some((class, action)) => Err(BackendError::new(class, action)),
            None => Ok(MemoryConnection { pool: self.clone() }),
        }
    }
}

/// A connection of a [`MemoryPool`].
#[derive(Debug)]
pub struct MemoryConnection {
    pool: MemoryPool,
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.pool.state.in_use.send_modify(|count| *count -= 1);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
