//! A fake that stops in one phase until it is let through, or panics there.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use steadfast_db_init::{
    Backend, BackendError, MemoryBackend, MemoryPool, MigrationError, MigrationId, MigrationSet,
    Phase, PoolStats,
};
use tokio::sync::{Semaphore, watch};

#[derive(Clone)]
pub(crate) struct Gated {
    pub(crate) memory: MemoryBackend,
    phase: Phase,
    gate: Arc<Semaphore>,
    waiting: watch::Sender<u32>,
    panics: Arc<AtomicU64>,
    closed: Arc<AtomicU64>,
}

impl Gated {
    pub(crate) fn new(phase: Phase) -> Self {
        Self {
            memory: MemoryBackend::new(),
            phase,
            gate: Arc::new(Semaphore::new(0)),
            waiting: watch::Sender::new(0),
            panics: Arc::default(),
            closed: Arc::default(),
        }
    }

    /// Lets so many through.
    pub(crate) fn open(&self, many: usize) {
        self.gate.add_permits(many);
    }

    /// The next ones that are let through panic.
    pub(crate) fn panic_next(&self, many: u64) {
        self.panics.store(many, Ordering::SeqCst);
    }

    /// Waits until somebody stands at the gate.
    pub(crate) async fn reached(&self) {
        let mut waiting = self.waiting.subscribe();
        waiting.wait_for(|count| *count > 0).await.unwrap();
    }

    pub(crate) fn pools_closed(&self) -> u64 {
        self.closed.load(Ordering::SeqCst)
    }

    async fn gate(&self, phase: Phase) {
        if phase != self.phase {
            return;
        }
        self.waiting.send_modify(|count| *count += 1);
        let leave = Leave(&self.waiting);
        self.gate.acquire().await.unwrap().forget();
        drop(leave);
        let panics = self.panics.load(Ordering::SeqCst);
        if panics > 0 {
            self.panics.store(panics - 1, Ordering::SeqCst);
            panic!("boom while {phase}");
        }
    }
}

struct Leave<'a>(&'a watch::Sender<u32>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[async_trait]
impl Backend for Gated {
    type Pool = MemoryPool;

    async fn connect(&self) -> Result<MemoryPool, BackendError> {
        self.gate(Phase::Connect).await;
        self.memory.connect().await
    }

    async fn ping(&self, pool: &MemoryPool) -> Result<(), BackendError> {
        self.gate(Phase::Ping).await;
        self.memory.ping(pool).await
    }

    async fn migrate(
        &self,
        pool: &MemoryPool,
        migrations: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        self.gate(Phase::Migrate).await;
        self.memory.migrate(pool, migrations).await
    }

    async fn pending(&self, migrations: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        self.memory.pending(migrations).await
    }

    fn stats(&self, pool: &MemoryPool) -> PoolStats {
        self.memory.stats(pool)
    }

    async fn close(&self, pool: &MemoryPool) {
        self.memory.close(pool).await;
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}
