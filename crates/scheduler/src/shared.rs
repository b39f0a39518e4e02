use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use jiff::Timestamp;
use steadfast_clock::Clock;
use steadfast_sync::AsyncLock;
use tokio::sync::Notify;

use crate::{
    JobHandler, JobKey, JobStore, LockName, StoreError, driver::LONGEST_SLEEP,
    execution::panic_message, live::Live, store_time::StoreTime,
};

/// How long the store may take to answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a store that several hosts share is looked at, unless a setting says otherwise.
const SHORT_POLL: Duration = Duration::from_secs(1);

/// What the handle, the driver and the runs of one scheduler have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) handler: Handler,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) locks: Arc<AsyncLock<LockName>>,
    /// Removals of one key, one after the other.
    pub(crate) removals: AsyncLock<JobKey>,
    pub(crate) live: Live,
    pub(crate) alarm: Alarm,
    pub(crate) store_time: StoreTime,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) owner: Option<String>,
    pub(crate) max_concurrency: usize,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) poll: Option<Duration>,
    pub(crate) keep_runs: Duration,
}

impl Shared {
    /// How long it takes at most until a change that another process made is noticed.
    pub(crate) fn poll(&self) -> Duration {
        let default = if self.store_time.is_own() {
            SHORT_POLL
        } else {
            LONGEST_SLEEP
        };
        self.settings.poll.unwrap_or(default)
    }
}

/// The store's answer, if it comes in time; a panic of the store is an error like any other.
pub(crate) async fn in_time<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut answer = pin!(answer);
    let caught = std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| {
            let message = panic_message(&*payload);
            Poll::Ready(Err(StoreError::permanent("answer: it panicked", message)))
        })
    });
    tokio::time::timeout(STORE_TIMEOUT, caught)
        .await
        .unwrap_or_else(|elapsed| Err(StoreError::transient("answer in time", elapsed)))
}

pub(crate) struct Handler(pub(crate) Arc<dyn JobHandler>);

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JobHandler")
    }
}

/// Wakes the driver for what is due earlier than it means to sleep.
#[derive(Debug)]
pub(crate) struct Alarm {
    ring: Notify,
    /// In milliseconds since the epoch; the greatest value while the driver is awake.
    set_for: AtomicI64,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self {
            ring: Notify::new(),
            set_for: AtomicI64::new(i64::MAX),
        }
    }

    /// Call before asking the store when something is due: whatever is due by then rings.
    pub(crate) fn reset(&self) {
        self.set_for.store(i64::MAX, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, due: Timestamp) {
        self.set_for.store(due.as_millisecond(), Ordering::SeqCst);
    }

    pub(crate) fn ring_for(&self, due: Timestamp) {
        if due.as_millisecond() < self.set_for.load(Ordering::SeqCst) {
            self.ring.notify_one();
        }
    }

    pub(crate) async fn rung(&self) {
        self.ring.notified().await;
    }
}
