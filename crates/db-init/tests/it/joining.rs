use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use steadfast_db_init::{
    AttemptError, Backend, Database, InitError, MemoryBackend, MemoryConnection, MemoryPool, Phase,
    Status, conformance,
};
use steadfast_testkit::{Random, seed};
use tokio::{sync::watch, task::JoinSet};

use crate::{gated::Gated, notes};

type Outcome = Result<Arc<MemoryPool>, Arc<InitError>>;

/// So many callers, each in a task of its own; all of them have joined.
async fn callers<B>(database: &Arc<Database<B>>, many: usize) -> JoinSet<Outcome>
where
    B: Backend<Pool = MemoryPool>,
{
    let started = watch::Sender::new(0);
    let mut callers = JoinSet::new();
    for _ in 0..many {
        let (database, started) = (Arc::clone(database), started.clone());
        callers.spawn(async move {
            // In the same poll as the call's first one.
            started.send_modify(|count| *count += 1);
            database.initialize().await
        });
    }
    let mut started = started.subscribe();
    started.wait_for(|count| *count == many).await.unwrap();
    callers
}

fn gated(phase: Phase) -> (Gated, Arc<Database<Gated>>) {
    let gate = Gated::new(phase);
    let database = Database::builder(gate.clone()).migrations(notes()).build();
    (gate, Arc::new(database.unwrap()))
}

struct Memory;

#[async_trait]
impl conformance::Fixture for Memory {
    type Backend = MemoryBackend;
    type Connection = MemoryConnection;

    async fn fresh(&self) -> MemoryBackend {
        MemoryBackend::new()
    }

    async fn checkout(&self, pool: &MemoryPool) -> MemoryConnection {
        pool.acquire().unwrap()
    }
}

#[tokio::test]
async fn memory_backend_conforms() {
    conformance::all(&Memory).await;
}

#[tokio::test]
async fn row_01_second_caller_joins_and_does_not_return_early() {
    for phase in [Phase::Connect, Phase::Ping, Phase::Migrate] {
        let (gate, database) = gated(phase);
        let mut first = callers(&database, 1).await;
        gate.reached().await;

        let mut second = callers(&database, 1).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(second.try_join_next().is_none(), "returned while {phase}");
        assert!(database.get().is_none() && !database.status().is_ready());
        let refusal = database.try_initialize().await.unwrap_err();
        assert!(matches!(*refusal, InitError::AlreadyInProgress));

        gate.open(1);
        let one = first.join_next().await.unwrap().unwrap().unwrap();
        let two = second.join_next().await.unwrap().unwrap().unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(gate.memory.connects(), 1);
    }
}

#[tokio::test]
async fn row_02_failure_is_not_cached_and_close_allows_another_start() {
    let server = MemoryBackend::new();
    let database = Database::builder(server.clone()).max_attempts(1).build();
    let database = database.unwrap();

    server.set_down(true);
    let error = database.initialize().await.unwrap_err();
    assert!(matches!(*error, InitError::Exhausted { attempts: 1, .. }));
    assert!(
        matches!(database.status(), Status::Failed { generation: 1, error: seen }
        if Arc::ptr_eq(&seen, &error))
    );
    server.set_down(false);
    database.initialize().await.unwrap();
    assert!(matches!(database.status(), Status::Ready { generation: 2 }));

    database.close(Duration::from_secs(1)).await;
    assert!(matches!(
        database.status(),
        Status::Closed { generation: 2 }
    ));
    let pool = database.ensure_initialized().await.unwrap();
    assert!(pool.acquire().is_ok());
    assert!(matches!(database.status(), Status::Ready { generation: 3 }));
    assert_eq!(server.connects(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_joiners_make_one_connect_and_one_migration() {
    let (gate, database) = gated(Phase::Migrate);
    let callers = callers(&database, 1000).await;
    gate.reached().await;
    gate.open(1000);
    let pools: Vec<_> = callers.join_all().await;
    let first = pools[0].as_ref().unwrap();
    assert!(
        pools
            .iter()
            .all(|pool| Arc::ptr_eq(pool.as_ref().unwrap(), first))
    );
    assert_eq!(gate.memory.connects(), 1);
    assert_eq!(gate.memory.applied().len(), 2);
    assert!(matches!(database.status(), Status::Ready { generation: 1 }));
}

#[tokio::test]
async fn failure_reaches_every_joiner_as_one_object() {
    let gate = Gated::new(Phase::Connect);
    let database = Database::builder(gate.clone()).max_attempts(1).build();
    let database = Arc::new(database.unwrap());
    gate.memory.set_down(true);
    let callers = callers(&database, 1000).await;
    gate.reached().await;
    gate.open(1);
    let outcomes = callers.join_all().await;
    let first = outcomes[0].as_ref().unwrap_err();
    assert!(matches!(
        **first,
        InitError::Exhausted {
            last: AttemptError::Connect(_),
            ..
        }
    ));
    assert!(
        outcomes
            .iter()
            .all(|other| Arc::ptr_eq(other.as_ref().unwrap_err(), first))
    );
    assert_eq!(gate.memory.connects(), 1);
}

#[tokio::test]
async fn ninety_nine_of_a_hundred_aborted_callers_change_nothing() {
    for survivor in [0, 50, 99] {
        let (gate, database) = gated(Phase::Migrate);
        let mut before = callers(&database, survivor).await;
        let mut one = callers(&database, 1).await;
        let mut after = callers(&database, 99 - survivor).await;
        gate.reached().await;
        before.shutdown().await;
        after.shutdown().await;
        gate.open(1);
        one.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(gate.memory.connects(), 1);
        assert!(matches!(database.status(), Status::Ready { generation: 1 }));
    }
}

#[tokio::test]
async fn all_but_one_of_a_thousand_aborted_in_random_order_change_nothing() {
    let mut random = Random::new(seed());
    let (gate, database) = gated(Phase::Migrate);
    let mut tasks = Vec::new();
    for _ in 0..1000 {
        tasks.push(callers(&database, 1).await);
    }
    gate.reached().await;
    while tasks.len() > 1 {
        let victim = usize::try_from(random.below(tasks.len() as u64)).unwrap();
        tasks.swap_remove(victim).shutdown().await;
    }
    gate.open(1);
    tasks[0].join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(gate.memory.connects(), 1);
    assert_eq!(gate.memory.applied().len(), 2);
    assert!(matches!(database.status(), Status::Ready { generation: 1 }));
}

#[tokio::test]
async fn last_caller_dropped_leaves_an_idle_database_that_works() {
    for phase in [Phase::Connect, Phase::Ping, Phase::Migrate] {
        let (gate, database) = gated(phase);
        let mut all = callers(&database, 3).await;
        gate.reached().await;
        all.shutdown().await;
        assert!(
            matches!(database.status(), Status::Idle),
            "{}",
            database.status()
        );
        assert!(database.get().is_none() && gate.memory.applied().is_empty());
        // The half-open pool went with the attempt: there is nothing to close.
        let report = database.close(Duration::from_secs(1)).await;
        assert_eq!((report.generation, gate.pools_closed()), (0, 0));

        gate.open(1);
        database.initialize().await.unwrap();
        assert!(matches!(database.status(), Status::Ready { generation: 2 }));
    }
}

#[tokio::test]
async fn panic_reaches_every_joiner_and_the_next_call_works() {
    for phase in [Phase::Connect, Phase::Ping, Phase::Migrate] {
        let (gate, database) = gated(phase);
        let callers = callers(&database, 10).await;
        gate.reached().await;
        gate.panic_next(1);
        gate.open(1);
        let outcomes = callers.join_all().await;
        let first = outcomes[0].as_ref().unwrap_err();
        assert!(
            matches!(&**first, InitError::Panicked { phase: seen, message }
            if *seen == phase && message.starts_with("boom"))
        );
        let shared = |other: &Outcome| Arc::ptr_eq(other.as_ref().unwrap_err(), first);
        assert!(outcomes.iter().all(shared));
        assert!(matches!(
            database.status(),
            Status::Failed { generation: 1, .. }
        ));
        // Whatever was open is closed.
        let opened = u64::from(phase != Phase::Connect);
        assert_eq!(gate.pools_closed(), opened);

        gate.open(1);
        database.initialize().await.unwrap();
        assert!(database.status().is_ready());
    }
}

#[tokio::test]
async fn status_is_ready_only_when_the_pool_can_be_had() {
    let (gate, database) = gated(Phase::Migrate);
    let mut statuses = database.subscribe();
    gate.open(1);
    let mut callers = callers(&database, 1).await;
    statuses.wait_for(Status::is_ready).await.unwrap();
    assert!(database.get().is_some());
    assert_eq!(database.stats().unwrap().in_use(), 0);
    database.ping().await.unwrap();
    callers.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn pending_reports_and_leaves_the_database_idle() {
    let server = MemoryBackend::new();
    let database = Database::builder(server.clone())
        .migrations(notes())
        .build();
    let database = database.unwrap();
    assert_eq!(database.pending().await.unwrap().len(), 2);
    assert!(matches!(database.status(), Status::Idle));
    assert_eq!(server.connects(), 0);
    let unready = database.ping().await.unwrap_err();
    assert_eq!(unready.to_string(), "the database is not ready: it is idle");
}
