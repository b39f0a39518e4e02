use std::{
    future::pending,
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::sleep;

use crate::{BackendError, Grant, Guarantees, LockBackend};

/// What happens to one call of a [`FaultyBackend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It takes a while to arrive.
    Late(Duration),
    /// It takes effect, and the answer takes a while to arrive.
    AnswerLate(Duration),
    /// It never arrives: a transient error.
    Refused,
    /// It never arrives: a permanent error.
    Broken,
    /// It takes effect, and the answer is lost: a transient error.
    AnswerLost,
    /// It never arrives, and there is no answer.
    Hangs,
    /// It takes effect, and there is no answer.
    AnswerHangs,
    /// It never arrives: the backend panics, without a word on standard error.
    Panics,
    /// It takes effect, and the backend panics.
    AnswerPanics,
}

type Script = dyn FnMut(u64) -> Fault + Send;

/// A backend on top of another, whose calls suffer faults.
pub struct FaultyBackend<B> {
    inner: B,
    script: Mutex<Box<Script>>,
    calls: AtomicU64,
}

impl<B> FaultyBackend<B> {
    /// Asks `script` what happens to each call, by its number from zero.
    pub fn new(inner: B, script: impl FnMut(u64) -> Fault + Send + 'static) -> Self {
        Self {
            inner,
            script: Mutex::new(Box::new(script)),
            calls: AtomicU64::new(0),
        }
    }

    /// The backend beneath.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// How many calls there have been.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl<B: LockBackend> FaultyBackend<B> {
    async fn suffer<T: Send>(
        &self,
        call: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let fault = self.script.lock().unwrap_or_else(PoisonError::into_inner)(number);
        match fault {
            Fault::None => call.await,
            Fault::Late(delay) => {
                sleep(delay).await;
                call.await
            }
            Fault::AnswerLate(delay) => {
                let answer = call.await;
                sleep(delay).await;
                answer
            }
            Fault::Refused => Err(BackendError::transient("connection refused")),
            Fault::Broken => Err(BackendError::permanent("no such table")),
            Fault::AnswerLost => {
                call.await?;
                Err(BackendError::transient("connection reset"))
            }
            Fault::Hangs => pending().await,
            Fault::AnswerHangs => {
                call.await?;
                pending().await
            }
            Fault::Panics => resume_unwind(Box::new("injected")),
            Fault::AnswerPanics => {
                call.await?;
                resume_unwind(Box::new("injected"))
            }
        }
    }
}

#[async_trait]
impl<B: LockBackend> LockBackend for FaultyBackend<B> {
    async fn try_acquire(
        &self,
        key: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Grant>, BackendError> {
        self.suffer(self.inner.try_acquire(key, owner, ttl)).await
    }

    async fn renew(&self, grant: &Grant, ttl: Duration) -> Result<Option<Grant>, BackendError> {
        self.suffer(self.inner.renew(grant, ttl)).await
    }

    async fn release(&self, grant: &Grant) -> Result<(), BackendError> {
        self.suffer(self.inner.release(grant)).await
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }
}

impl<B: std::fmt::Debug> std::fmt::Debug for FaultyBackend<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyBackend")
            .field("inner", &self.inner)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
