//! Close while an initialisation is at work: what is published, and what is left open.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_clock::{Clock, SystemClock};
use steadfast_db_init::{
    Backend, BackendError, Class, Database, MigrationError, MigrationId, MigrationSet, Phase,
    PoolStats,
};
use steadfast_testkit::{Random, seed};
use tokio::{task::JoinSet, time::timeout};

const LONG: Duration = Duration::from_secs(60);

/// Runs once, in the middle of a poll of the attempt.
type Hook = Box<dyn FnOnce() + Send>;

/// A backend that yields and fails at random, panics sometimes where it fails, runs a hook in one
/// phase, and counts its pools.
#[derive(Clone)]
pub(crate) struct Overlap(Arc<Inner>);

struct Inner {
    random: Mutex<Random>,
    /// The most yields of one call.
    yields: u64,
    fails: bool,
    hook: Mutex<Option<(Phase, Hook)>>,
    opened: Mutex<u64>,
    /// The pools that are neither closed nor dropped.
    open: Mutex<BTreeSet<u64>>,
}

#[derive(Clone)]
pub(crate) struct Pool(
    #[expect(dead_code, reason = "it counts by being dropped")] Arc<Opened>,
    u64,
);

pub(crate) struct Opened(Overlap, u64);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.0.open.lock().unwrap().remove(&self.1);
    }
}

impl Overlap {
    pub(crate) fn new(seed: u64, yields: u64, fails: bool) -> Self {
        Self(Arc::new(Inner {
            random: Mutex::new(Random::new(seed)),
            yields,
            fails,
            hook: Mutex::new(None),
            opened: Mutex::new(0),
            open: Mutex::default(),
        }))
    }

    pub(crate) fn hook(&self, phase: Phase, hook: impl FnOnce() + Send + 'static) {
        *self.0.hook.lock().unwrap() = Some((phase, Box::new(hook)));
    }

    fn open(&self) -> usize {
        self.0.open.lock().unwrap().len()
    }

    pub(crate) fn is_open(&self, pool: &Pool) -> bool {
        self.0.open.lock().unwrap().contains(&pool.1)
    }

    fn use_pool(&self, pool: &Pool) -> Result<(), BackendError> {
        if self.is_open(pool) {
            return Ok(());
        }
        Err(BackendError::new(Class::Transient, "the pool is closed"))
    }

    async fn enter(&self, phase: Phase) -> Result<(), BackendError> {
        let hook = self.0.hook.lock().unwrap().take_if(|hook| hook.0 == phase);
        if let Some((_, hook)) = hook {
            hook();
        }
        let (yields, fails, panics) = {
            let mut random = self.0.random.lock().unwrap();
            let fails = self.0.fails && random.below(8) == 0;
            (
                random.below(self.0.yields + 1),
                fails,
                fails && random.below(4) == 0,
            )
        };
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        assert!(!panics, "panicked at random");
        if fails {
            return Err(BackendError::new(Class::Permanent, "refused at random"));
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Overlap {
    type Pool = Pool;

    async fn connect(&self) -> Result<Pool, BackendError> {
        self.enter(Phase::Connect).await?;
        let number = {
            let mut opened = self.0.opened.lock().unwrap();
            *opened += 1;
            *opened
        };
        self.0.open.lock().unwrap().insert(number);
        Ok(Pool(Arc::new(Opened(self.clone(), number)), number))
    }

    async fn ping(&self, pool: &Pool) -> Result<(), BackendError> {
        self.enter(Phase::Ping).await?;
        self.use_pool(pool)
    }

    async fn migrate(
        &self,
        pool: &Pool,
        _: &MigrationSet,
    ) -> Result<Vec<MigrationId>, MigrationError> {
        let entered = self.enter(Phase::Migrate).await;
        let entered = entered.and_then(|()| self.use_pool(pool));
        let failed = |source| MigrationError::Apply {
            id: MigrationId::new("notes", 1),
            source,
        };
        entered.map(|()| vec![]).map_err(failed)
    }

    async fn pending(&self, _: &MigrationSet) -> Result<Vec<MigrationId>, MigrationError> {
        Ok(vec![])
    }

    fn stats(&self, _: &Pool) -> PoolStats {
        PoolStats::default()
    }

    async fn close(&self, pool: &Pool) {
        self.0.open.lock().unwrap().remove(&pool.1);
        tokio::task::yield_now().await;
    }
}

pub(crate) fn database(backend: &Overlap, clock: Arc<dyn Clock>) -> Arc<Database<Overlap>> {
    let breaker = steadfast_sync::CircuitBreaker::builder().consecutive_failures(u32::MAX);
    let database = Database::builder(backend.clone()).breaker(breaker.build().unwrap());
    Arc::new(database.clock(clock).build().unwrap())
}

/// Nobody is at work: the status, the pool that can be had and the pools that are open agree.
pub(crate) fn assert_settled(database: &Database<Overlap>, backend: &Overlap, context: &str) {
    use steadfast_db_init::Status::{Closed, Failed, Idle, Ready};

    let status = database.status();
    let settled = matches!(status, Idle | Ready { .. } | Closed { .. } | Failed { .. });
    assert!(settled, "{context}: still {status}");
    let has_pool = database.get().is_some();
    assert_eq!(status.is_ready(), has_pool, "{context}: {status}");
    assert_eq!(backend.open(), usize::from(has_pool), "{context}: {status}");
}

/// Runs a future on a thread and a runtime of its own, to its end or for one poll.
fn elsewhere<F: Future + Send>(future: F, to_its_end: bool) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().build().unwrap();
            runtime.block_on(async {
                let mut future = Box::pin(future);
                if to_its_end {
                    future.await;
                } else {
                    std::future::poll_fn(|cx| {
                        let _ = future.as_mut().poll(cx);
                        std::task::Poll::Ready(())
                    })
                    .await;
                }
            });
        });
    });
}

#[tokio::test]
async fn close_that_ends_in_the_middle_of_a_poll_leaves_nothing_published_or_open() {
    for phase in [Phase::Connect, Phase::Ping, Phase::Migrate] {
        for to_its_end in [true, false] {
            let backend = Overlap::new(1, 0, false);
            let database = database(&backend, Arc::new(SystemClock));
            let closer = Arc::clone(&database);
            backend.hook(phase, move || {
                elsewhere(closer.close(Duration::ZERO), to_its_end);
            });
            let outcome = database.initialize().await;
            let context = format!("{phase}, closed to its end: {to_its_end}");
            assert!(outcome.is_err(), "{context}");
            drop(outcome);
            assert!(database.get().is_none(), "{context}");
            let error = database.snapshot().last_error;
            assert_eq!(error, None, "{context}: no failure of the database");
            assert_settled(&database, &backend, &context);

            database.initialize().await.unwrap();
            assert_settled(&database, &backend, &context);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_overlaps_of_opening_and_closing_end_consistent() {
    let seed = seed();
    for round in 0..400 {
        let seed = seed.wrapping_add(round);
        let backend = Overlap::new(seed, round % 4, round % 3 == 0);
        let database = database(&backend, Arc::new(SystemClock));
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let (database, mut random) = (
                Arc::clone(&database),
                Random::new(seed.wrapping_mul(8).wrapping_add(task)),
            );
            tasks.spawn(async move {
                let mut newest = 0;
                for _ in 0..8 {
                    let within = *random.pick(&[Duration::ZERO, LONG]);
                    match random.below(6) {
                        0 => drop(database.try_initialize().await),
                        1 => drop(database.close(within).await),
                        2 => drop(timeout(Duration::ZERO, database.close(within)).await),
                        3 => drop(timeout(Duration::ZERO, database.initialize()).await),
                        _ => drop(database.initialize().await),
                    }
                    if let Some(pool) = database.get() {
                        assert!(pool.1 >= newest, "an older pool came back");
                        newest = pool.1;
                    }
                }
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome.unwrap();
        }
        assert_settled(&database, &backend, &format!("round {round}, seed {seed}"));
    }
}
