//! Leave to work on the database, for so many at once.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use steadfast_db_init::{Database, MemoryBackend, Phase, WorkError};
use steadfast_sync::{AcquireError, Semaphore};
use tokio::{join, time::timeout};

use crate::overlap::Overlap;

const SEC: Duration = Duration::from_secs(1);

fn two_at_once() -> Database<MemoryBackend> {
    let semaphore = Semaphore::builder(2).name("work").max_waiters(1).build();
    let builder = Database::builder(MemoryBackend::new());
    builder.concurrency(semaphore.unwrap()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn so_many_work_at_once_and_the_next_waits_its_turn() {
    let database = two_at_once();
    database.initialize().await.unwrap();
    let first = database.work(SEC).await.unwrap();
    let second = database.work(SEC).await.unwrap();
    assert!(first.acquire().is_ok());

    let late = database.work(SEC).await.unwrap_err();
    let WorkError::Busy { source } = late else {
        panic!("another error: {late}");
    };
    assert!(matches!(source, AcquireError::Timeout { .. }), "{source}");

    let (third, fourth, ()) = join!(database.work(SEC), database.work(SEC), async {
        tokio::task::yield_now().await;
        drop(second);
    });
    assert!(third.is_ok());
    let full = fourth.unwrap_err();
    let WorkError::Busy { source } = full else {
        panic!("another error: {full}");
    };
    assert!(matches!(source, AcquireError::QueueFull { .. }), "{source}");
}

#[tokio::test(start_paused = true)]
async fn close_sends_those_away_who_wait() {
    let database = two_at_once();
    database.initialize().await.unwrap();
    let held = [database.work(SEC).await, database.work(SEC).await];
    let wait = timeout(SEC, database.work(60 * SEC));
    let (waited, report) = join!(wait, database.close(SEC));
    let outcome = waited.expect("it waits for nothing any more");
    assert!(matches!(outcome, Err(WorkError::NotReady { .. })));
    assert!(report.complete, "a permit is no connection");
    drop(held);

    database.initialize().await.unwrap();
    assert!(database.work(SEC).await.is_ok());
}

#[tokio::test]
async fn database_that_is_not_ready_gives_no_leave() {
    let database = two_at_once();
    let error = database.work(SEC).await.unwrap_err();
    assert_eq!(error.to_string(), "the database is not ready: it is idle");
}

#[tokio::test]
async fn without_a_semaphore_only_the_pool_bounds_the_work() {
    let database = Database::builder(MemoryBackend::new()).build().unwrap();
    database.initialize().await.unwrap();
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push(database.work(Duration::ZERO).await.unwrap());
    }
}

/// Asks for leave when it is woken: the pool is there by then, and the status not told yet.
struct AskWhenWoken {
    database: Arc<Database<Overlap>>,
    answer: Mutex<Option<Poll<bool>>>,
}

impl Wake for AskWhenWoken {
    fn wake(self: Arc<Self>) {
        let work = pin!(self.database.work(60 * SEC));
        let poll = work.poll(&mut Context::from_waker(Waker::noop()));
        *self.answer.lock().unwrap() = Some(poll.map(|outcome| outcome.is_ok()));
    }
}

#[tokio::test]
async fn who_asks_before_the_status_is_told_waits_like_others() {
    let semaphore = Semaphore::builder(1).build().unwrap();
    let _held = semaphore.try_acquire_owned(1).unwrap();
    let backend = Overlap::new(1, 0, false);
    let builder = Database::builder(backend.clone()).concurrency(semaphore);
    let database = Arc::new(builder.build().unwrap());
    let asking = Arc::new(AskWhenWoken {
        database: Arc::clone(&database),
        answer: Mutex::default(),
    });

    // It joins while the other caller polls the attempt, and is woken when that ends.
    let (joiner, waker) = (Arc::clone(&database), Waker::from(Arc::clone(&asking)));
    let joined = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&joined);
    backend.hook(Phase::Migrate, move || {
        let mut joining = Box::pin(async move { joiner.initialize().await });
        let join = || {
            let poll = joining.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        };
        std::thread::scope(|scope| scope.spawn(join).join().unwrap());
        *keep.lock().unwrap() = Some(joining);
    });
    database.initialize().await.unwrap();
    assert_eq!(*asking.answer.lock().unwrap(), Some(Poll::Pending));
    assert!(joined.lock().unwrap().is_some());
}
