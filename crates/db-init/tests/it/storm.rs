//! Many threads open, close and give up at once: what holds meanwhile.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::Poll,
    time::{Duration, SystemTime},
};

use steadfast_clock::{Clock, Instant, SystemClock};
use steadfast_db_init::{Database, InitError, SqliteBackend, SqliteOptions, Status};
use steadfast_testkit::{Random, seed};
use tokio::task::JoinSet;

use crate::overlap::{Overlap, assert_settled, database};

const LONG: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 60;

/// The machine's clock; who reads it is held up at random, as on a loaded machine. An attempt
/// reads it where it begins and where it ends, and so does a close.
#[derive(Debug)]
struct Stalling(Mutex<Random>);

impl Clock for Stalling {
    fn wall(&self) -> SystemTime {
        SystemClock.wall()
    }

    fn monotonic(&self) -> Instant {
        let stall = self.0.lock().unwrap().below(240);
        if stall < 60 {
            std::thread::sleep(Duration::from_micros(stall));
        }
        SystemClock.monotonic()
    }
}

/// A database, and how many closes were begun and have ended.
struct Storm {
    database: Arc<Database<Overlap>>,
    backend: Overlap,
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Storm {
    fn new(backend: Overlap, random: Random) -> Arc<Self> {
        Arc::new(Self {
            database: database(&backend, Arc::new(Stalling(Mutex::new(random)))),
            backend,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        })
    }

    async fn close(&self, within: Duration, polls: u64) {
        self.begun.fetch_add(1, SeqCst);
        let report = polled(self.database.close(within), polls).await;
        self.ended.fetch_add(1, SeqCst);
        if let Some(report) = report {
            assert!(report.complete || within.is_zero(), "{report:?}");
        }
    }

    /// Where no close was at work during the call, it has a pool that works, or an error of the
    /// backend's own.
    async fn initialize(&self, polls: u64) {
        let begun = self.begun.load(SeqCst);
        let was_quiet = begun == self.ended.load(SeqCst);
        let Some(outcome) = polled(self.database.initialize(), polls).await else {
            return;
        };
        let status = self.database.status();
        let is_open = match &outcome {
            Ok(pool) => self.backend.is_open(pool),
            Err(_) => false,
        };
        if !was_quiet || begun != self.begun.load(SeqCst) {
            return;
        }
        match outcome {
            Ok(_) => assert!(is_open && status.is_ready(), "open: {is_open}, {status}"),
            Err(error) => assert!(
                matches!(
                    *error,
                    InitError::Permanent { .. }
                        | InitError::Migration { .. }
                        | InitError::Panicked { .. }
                ),
                "nobody closed it: {error}"
            ),
        }
    }

    async fn act(&self, random: &mut Random) {
        let patience = random.below(6);
        match random.below(8) {
            0 => self.close(LONG, u64::MAX).await,
            1 => self.close(Duration::ZERO, u64::MAX).await,
            2 => self.close(LONG, patience).await,
            3 => self.initialize(patience).await,
            4 => drop(self.database.try_initialize().await),
            _ => self.initialize(u64::MAX).await,
        }
    }
}

/// The output, if the future ends within so many polls; else it is dropped.
async fn polled<F: Future>(future: F, polls: u64) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let poll = future.as_mut().poll(cx).map(Some);
        if left == 0 && poll.is_pending() {
            return Poll::Ready(None);
        }
        poll
    })
    .await
}

/// Fails when the status goes back. It may miss statuses, but sees the rest in order.
async fn watch(storm: Arc<Storm>) {
    let rank = |status: &Status| match status {
        Status::Connecting { .. } | Status::Migrating { .. } => 0,
        Status::Ready { .. } | Status::Failed { .. } => 1,
        Status::Closing { .. } => 2,
        _ => 3,
    };
    let mut statuses = storm.database.subscribe();
    let mut last = Status::Idle;
    while statuses.changed().await.is_ok() {
        let status = statuses.borrow_and_update().clone();
        let place = |status: &Status| (status.generation(), rank(status));
        let is_idle = matches!(status, Status::Idle);
        assert!(
            is_idle || place(&last) <= place(&status),
            "{last}, then {status}"
        );
        if !is_idle {
            last = status;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storm_of_openers_closers_and_quitters_keeps_every_promise() {
    let seed = seed();
    for round in 0..ROUNDS {
        let seed = seed.wrapping_add(round);
        let storm = Storm::new(
            Overlap::new(seed, round % 4, round % 2 == 0),
            Random::new(seed),
        );
        let mut watcher = JoinSet::new();
        watcher.spawn(watch(Arc::clone(&storm)));
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let storm = Arc::clone(&storm);
            let mut random = Random::new(seed.wrapping_mul(8).wrapping_add(task));
            tasks.spawn(async move {
                for _ in 0..24 {
                    storm.act(&mut random).await;
                }
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome.unwrap();
        }
        let context = format!("round {round}, seed {seed}");
        assert_settled(&storm.database, &storm.backend, &context);
        if let Some(outcome) = watcher.try_join_next() {
            outcome.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn closes_that_end_at_the_same_time_leave_it_closed() {
    for round in 0..300 {
        let storm = Storm::new(Overlap::new(round, 0, false), Random::new(round));
        storm.initialize(u64::MAX).await;
        let mut tasks = JoinSet::new();
        for within in [LONG, Duration::ZERO, Duration::ZERO] {
            let storm = Arc::clone(&storm);
            tasks.spawn(async move { storm.close(within, u64::MAX).await });
        }
        while let Some(outcome) = tasks.join_next().await {
            outcome.unwrap();
        }
        assert_settled(&storm.database, &storm.backend, &format!("round {round}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storm_on_a_file_ends_with_every_migration_once_and_nothing_open() {
    let mut random = Random::new(seed());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("storm.db");
    let backend = SqliteBackend::new(&path, SqliteOptions::default()).unwrap();
    let database = Database::builder(backend).migrations(crate::notes());
    let database = Arc::new(database.build().unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..60 {
        let (database, act) = (Arc::clone(&database), random.below(6));
        let polls = random.below(40);
        tasks.spawn(async move {
            let outcome = match act {
                0 => return assert!(database.close(LONG).await.complete),
                1 => {
                    let _ = polled(database.close(LONG), polls).await;
                    return;
                }
                2 => polled(database.initialize(), polls).await,
                _ => Some(database.initialize().await),
            };
            if let Some(Err(error)) = outcome {
                assert!(matches!(*error, InitError::ShutDown), "{error}");
            }
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
    let pools = database.initialize().await.unwrap();
    let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note")
        .fetch_one(&pools.reader)
        .await
        .unwrap();
    assert_eq!(notes, 1);
    let report = database.close(LONG).await;
    assert!(report.complete && report.leaked == 0, "{report:?}");
}
