//! A close that comes while an attempt waits for connections of its own pool to come back.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use steadfast_db_init::{
    Backend, BackendError, Class, Database, InitError, LedgerOperation, MemoryBackend,
    MemoryConnection, MemoryPool, MigrationError, MigrationId, MigrationSet, PoolStats, Status,
};
use tokio::time::{sleep, timeout};

const SEC: Duration = Duration::from_secs(1);

/// A migrator that fails and keeps a connection of the pool.
#[derive(Clone, Default)]
struct Leaky {
    memory: MemoryBackend,
    kept: Arc<Mutex<Vec<MemoryConnection>>>,
    panics: Arc<AtomicBool>,
}

#[async_trait]
impl Backend for Leaky {
    type Pool = MemoryPool;

    async fn connect(&self) -> Result<MemoryPool, BackendError> {
        self.memory.connect().await
    }

    async fn ping(&self, pool: &MemoryPool) -> Result<(), BackendError> {
        self.memory.ping(pool).await
    }

    async fn migrate(
        &self,
        pool: &MemoryPool,
        _: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        self.kept.lock().unwrap().push(pool.acquire().unwrap());
        Err(MigrationError::Ledger {
            operation: LedgerOperation::Write,
            source: BackendError::new(Class::Permanent, "refused"),
        })
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        self.memory.pending(migrations).await
    }

    fn stats(&self, pool: &MemoryPool) -> PoolStats {
        self.memory.stats(pool)
    }

    async fn close(&self, pool: &MemoryPool) {
        assert!(!self.panics.load(SeqCst), "boom while closing");
        self.memory.close(pool).await;
    }
}

fn leaky() -> (Leaky, Database<Leaky>) {
    let backend = Leaky::default();
    let database = Database::builder(backend.clone()).build().unwrap();
    (backend, database)
}

#[tokio::test(start_paused = true)]
async fn leak_is_reported_when_the_close_runs_out_of_patience() {
    // Before the attempt itself would have given up, and long after.
    for within in [2 * SEC, 60 * SEC] {
        let (_backend, database) = leaky();
        let (outcome, report) = tokio::join!(database.initialize(), async {
            sleep(SEC).await;
            database.close(within).await
        });
        assert!(matches!(
            *outcome.unwrap_err(),
            InitError::ShutDown | InitError::Migration { .. }
        ));
        assert_eq!((report.leaked, report.complete), (1, false), "{report:?}");
        assert_eq!(report.waited.as_secs(), within.as_secs());
        assert!(matches!(
            database.status(),
            Status::Closed { generation: 1 }
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn connection_that_comes_back_meanwhile_is_no_leak() {
    let (backend, database) = leaky();
    let (_, report, ()) = tokio::join!(
        database.initialize(),
        async {
            sleep(SEC).await;
            database.close(60 * SEC).await
        },
        async {
            sleep(10 * SEC).await;
            backend.kept.lock().unwrap().clear();
        }
    );
    assert_eq!((report.leaked, report.complete), (0, true), "{report:?}");
    assert_eq!(report.waited.as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn attempt_that_nobody_closes_gives_up_its_pool_after_five_seconds() {
    let (_backend, database) = leaky();
    let outcome = timeout(5 * SEC + SEC / 2, database.initialize()).await;
    let error = outcome
        .expect("its pool is waited for no longer")
        .unwrap_err();
    assert!(matches!(*error, InitError::Migration { .. }), "{error:?}");
    let report = database.close(SEC).await;
    assert!(report.complete, "it is no longer ours: {report:?}");
}

#[tokio::test]
async fn panic_while_the_pool_of_a_failed_attempt_closes_does_not_hide_why_it_failed() {
    let (backend, database) = leaky();
    backend.panics.store(true, SeqCst);
    let (one, other) = tokio::join!(database.initialize(), database.initialize());
    let (one, other) = (one.unwrap_err(), other.unwrap_err());
    assert!(matches!(*one, InitError::Migration { .. }), "{one}");
    assert!(Arc::ptr_eq(&one, &other), "the same object for both");
    let snapshot = database.snapshot();
    assert!(matches!(snapshot.status, Status::Failed { .. }));
    assert_eq!(snapshot.failures, 1);
    assert!(database.close(SEC).await.complete, "it is no longer ours");
}
