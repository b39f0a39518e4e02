use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use steadfast_privacy::{
    CodeHash, Connections, Erasure, ErasureId, ErasureStore, PersonalData, PortError, Receipt,
    Tombstone, TombstoneLog, test_util::MemoryErasures,
};
use uuid::Uuid;

/// What becomes of the call that is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// The process dies before it.
    DiesBefore,
    /// The process dies when it has had its effect.
    DiesAfter,
    /// It fails for good, without an effect.
    Fails,
}

/// Ports of which one call, by its number, is hit.
#[derive(Debug)]
pub(crate) struct Crashing {
    inner: Arc<MemoryErasures>,
    hit: Hit,
    at: u32,
    calls: AtomicU32,
}

impl Crashing {
    pub(crate) fn new(inner: Arc<MemoryErasures>, hit: Hit, at: u32) -> Arc<Self> {
        let calls = AtomicU32::new(0);
        Arc::new(Self {
            inner,
            hit,
            at,
            calls,
        })
    }

    pub(crate) fn was_hit(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.at
    }

    async fn call<R>(
        &self,
        call: impl Future<Output = Result<R, PortError>>,
    ) -> Result<R, PortError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) != self.at {
            return call.await;
        }
        match self.hit {
            Hit::DiesBefore => std::future::pending().await,
            Hit::DiesAfter => {
                let _ = call.await;
                std::future::pending().await
            }
            Hit::Fails => Err(PortError::permanent("hit")),
        }
    }
}

#[async_trait]
impl ErasureStore for Crashing {
    async fn insert(
        &self,
        erasure: &Erasure,
        code: Option<CodeHash>,
    ) -> Result<Option<Erasure>, PortError> {
        self.call(self.inner.insert(erasure, code)).await
    }

    async fn get(&self, id: ErasureId) -> Result<Option<Erasure>, PortError> {
        self.call(self.inner.get(id)).await
    }

    async fn by_code(&self, code: CodeHash) -> Result<Option<Erasure>, PortError> {
        self.call(self.inner.by_code(code)).await
    }

    async fn list(
        &self,
        user: Option<Uuid>,
        before: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError> {
        self.call(self.inner.list(user, before, limit)).await
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError> {
        self.call(self.inner.due(now, after, limit)).await
    }

    async fn completed_since(
        &self,
        since: Timestamp,
        after: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<Erasure>, PortError> {
        self.call(self.inner.completed_since(since, after, limit))
            .await
    }

    async fn cancel(&self, id: ErasureId, at: Timestamp) -> Result<bool, PortError> {
        self.call(self.inner.cancel(id, at)).await
    }

    async fn begin(&self, id: ErasureId) -> Result<bool, PortError> {
        self.call(self.inner.begin(id)).await
    }

    async fn fail(&self, id: ErasureId, error: &str) -> Result<(), PortError> {
        self.call(self.inner.fail(id, error)).await
    }

    async fn complete(&self, tombstone: &Tombstone) -> Result<Receipt, PortError> {
        self.call(self.inner.complete(tombstone)).await
    }

    async fn count_overdue(&self, before: Timestamp) -> Result<u64, PortError> {
        self.call(self.inner.count_overdue(before)).await
    }

    async fn without_tombstone(&self, users: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        self.call(self.inner.without_tombstone(users)).await
    }
}

#[async_trait]
impl PersonalData for Crashing {
    fn tables(&self) -> Vec<&'static str> {
        self.inner.tables()
    }

    async fn cancel_schedules(&self, user: Uuid) -> Result<(), PortError> {
        self.call(self.inner.cancel_schedules(user)).await
    }

    async fn erase_batch(
        &self,
        request: ErasureId,
        user: Uuid,
        table: &'static str,
        limit: u32,
    ) -> Result<u64, PortError> {
        self.call(self.inner.erase_batch(request, user, table, limit))
            .await
    }

    async fn count(&self, user: Uuid, table: &'static str) -> Result<u64, PortError> {
        self.call(self.inner.count(user, table)).await
    }
}

#[async_trait]
impl Connections for Crashing {
    async fn close(&self, user: Uuid) {
        let close = async {
            self.inner.close(user).await;
            Ok(())
        };
        // It cannot fail: then it has not closed anything.
        let _ = self.call(close).await;
    }
}

#[async_trait]
impl TombstoneLog for Crashing {
    async fn append(&self, tombstone: &Tombstone) -> Result<(), PortError> {
        self.call(self.inner.append(tombstone)).await
    }

    async fn read(&self) -> Result<Vec<Tombstone>, PortError> {
        self.call(self.inner.read()).await
    }
}
