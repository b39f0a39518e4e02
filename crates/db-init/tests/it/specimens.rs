//! Specimens: the original's broken initialisations, each beside a check that ours passes and
//! that has to find the fault in the specimen. A check that cannot fail shows nothing.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use steadfast_db_init::{Backend, Database, MemoryBackend, MemoryPool};
use tokio::sync::OnceCell;

/// What a check says of its subject: nothing, or what it did wrong.
type Checked = Result<(), String>;

trait Service: Sync {
    /// Whether it worked.
    fn initialize(&self) -> impl Future<Output = bool> + Send;
    fn pool(&self) -> Option<MemoryPool>;
    fn shut_down(&self) -> impl Future<Output = ()> + Send;
}

impl Service for Database<MemoryBackend> {
    async fn initialize(&self) -> bool {
        Database::initialize(self).await.is_ok()
    }

    fn pool(&self) -> Option<MemoryPool> {
        self.get().map(|pool| MemoryPool::clone(&pool))
    }

    async fn shut_down(&self) {
        self.close(Duration::from_secs(1)).await;
    }
}

fn ours(server: &MemoryBackend) -> Database<MemoryBackend> {
    let database = Database::builder(server.clone()).max_attempts(1);
    database.build().unwrap()
}

/// Row 1: whoever asked goes on only when there is a pool.
async fn check_joining(service: &impl Service) -> Checked {
    let mut first = pin!(service.initialize());
    let begun = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
    assert!(begun.is_pending(), "connecting takes more than one poll");
    let mut second = pin!(service.initialize());
    let joined = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx))).await;
    if joined.is_ready() && service.pool().is_none() {
        return Err("the second caller returned before there was a pool".to_owned());
    }
    let (one, two) = tokio::join!(first, second);
    assert!(one && two && service.pool().is_some());
    Ok(())
}

/// Row 2: a failure is not remembered, and there is a pool after close and another start.
async fn check_recovery(service: &impl Service, server: &MemoryBackend) -> Checked {
    server.set_down(true);
    assert!(!service.initialize().await);
    server.set_down(false);
    if !service.initialize().await {
        return Err("the failure outlived its cause".to_owned());
    }
    service.shut_down().await;
    if !service.initialize().await || service.pool().is_none() {
        return Err("there is no pool after close and another start".to_owned());
    }
    Ok(())
}

/// Row 10: a shutdown releases what was open, and the service starts again.
async fn check_shutdown(service: &impl Service) -> Checked {
    assert!(service.initialize().await);
    let pool = service.pool().unwrap();
    service.shut_down().await;
    if pool.acquire().is_ok() {
        return Err("the pool is open after the shutdown".to_owned());
    }
    if !service.initialize().await || service.pool().is_none() {
        return Err("it does not start again".to_owned());
    }
    Ok(())
}

/// A flag says that somebody is at work, and the next caller returns.
#[derive(Default)]
struct FlagAndReturn {
    server: MemoryBackend,
    is_initialising: AtomicBool,
    pool: Mutex<Option<MemoryPool>>,
}

impl Service for FlagAndReturn {
    async fn initialize(&self) -> bool {
        if self.is_initialising.swap(true, Ordering::SeqCst) {
            return true;
        }
        let pool = self.server.connect().await.ok();
        let is_open = pool.is_some();
        *self.pool.lock().unwrap() = pool;
        is_open
    }

    fn pool(&self) -> Option<MemoryPool> {
        self.pool.lock().unwrap().clone()
    }

    async fn shut_down(&self) {}
}

/// One outcome for ever; closing does not reset it.
#[derive(Default)]
struct CachedOutcome {
    server: MemoryBackend,
    outcome: OnceCell<Option<MemoryPool>>,
}

impl Service for CachedOutcome {
    async fn initialize(&self) -> bool {
        let connect = || async { self.server.connect().await.ok() };
        self.outcome.get_or_init(connect).await.is_some()
    }

    fn pool(&self) -> Option<MemoryPool> {
        self.outcome.get().cloned().flatten()
    }

    async fn shut_down(&self) {
        if let Some(pool) = self.pool() {
            self.server.close(&pool).await;
        }
    }
}

/// The shutdown sets its flag first, which makes its own cleanup return early.
#[derive(Default)]
struct FlagBeforeCleanup {
    server: MemoryBackend,
    is_shutting_down: AtomicBool,
    pool: Mutex<Option<MemoryPool>>,
    keeps_flag: bool,
    cleans_up: bool,
}

impl FlagBeforeCleanup {
    async fn clean_up(&self) {
        if self.is_shutting_down.load(Ordering::SeqCst) && !self.cleans_up {
            return;
        }
        let pool = self.pool.lock().unwrap().take();
        if let Some(pool) = pool {
            self.server.close(&pool).await;
        }
    }
}

impl Service for FlagBeforeCleanup {
    async fn initialize(&self) -> bool {
        if self.is_shutting_down.load(Ordering::SeqCst) {
            return false;
        }
        let pool = self.server.connect().await.ok();
        let is_open = pool.is_some();
        *self.pool.lock().unwrap() = pool;
        is_open
    }

    fn pool(&self) -> Option<MemoryPool> {
        self.pool.lock().unwrap().clone()
    }

    async fn shut_down(&self) {
        self.is_shutting_down.store(true, Ordering::SeqCst);
        self.clean_up().await;
        self.is_shutting_down
            .store(self.keeps_flag, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn row_01_early_return_is_found_and_ours_has_none() {
    let fault = check_joining(&FlagAndReturn::default()).await;
    let expected = "the second caller returned before there was a pool";
    assert_eq!(fault.unwrap_err(), expected);
    assert_eq!(check_joining(&ours(&MemoryBackend::new())).await, Ok(()));
}

#[tokio::test]
async fn row_02_cached_failure_is_found_and_ours_has_none() {
    let specimen = CachedOutcome::default();
    let fault = check_recovery(&specimen, &specimen.server).await;
    assert_eq!(fault.unwrap_err(), "the failure outlived its cause");
    let server = MemoryBackend::new();
    assert_eq!(check_recovery(&ours(&server), &server).await, Ok(()));
}

#[tokio::test]
async fn row_10_flag_before_cleanup_is_found_and_ours_releases_and_starts_again() {
    let fault = check_shutdown(&FlagBeforeCleanup::default()).await;
    assert_eq!(fault.unwrap_err(), "the pool is open after the shutdown");
    let stays_dead = FlagBeforeCleanup {
        keeps_flag: true,
        cleans_up: true,
        ..FlagBeforeCleanup::default()
    };
    let fault = check_shutdown(&stays_dead).await;
    assert_eq!(fault.unwrap_err(), "it does not start again");
    assert_eq!(check_shutdown(&ours(&MemoryBackend::new())).await, Ok(()));
}
