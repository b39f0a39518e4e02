use std::{sync::Arc, time::Duration};

use steadfast_db_init::{Database, InitError, MemoryBackend, Phase, Status};
use tokio::{task::JoinSet, time::timeout};

use crate::{gated::Gated, notes};

const LONG: Duration = Duration::from_secs(60);

fn memory() -> (MemoryBackend, Arc<Database<MemoryBackend>>) {
    let server = MemoryBackend::new();
    let database = Database::builder(server.clone()).build().unwrap();
    (server, Arc::new(database))
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_the_last_connection() {
    let (_, database) = memory();
    let connection = database.initialize().await.unwrap().acquire().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn({
        let database = Arc::clone(&database);
        async move { database.close(LONG).await }
    });
    let mut statuses = database.subscribe();
    let closing = |status: &Status| matches!(status, Status::Closing { generation: 1 });
    statuses.wait_for(closing).await.unwrap();
    assert!(database.get().is_none());

    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(tasks.try_join_next().is_none());
    drop(connection);
    let report = tasks.join_next().await.unwrap().unwrap();
    assert!(report.complete);
    assert_eq!((report.generation, report.leaked), (1, 0));
    assert_eq!(report.waited.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn connections_that_stay_out_are_reported_as_leaked() {
    let (_, database) = memory();
    let pool = database.initialize().await.unwrap();
    let _kept = (pool.acquire().unwrap(), pool.acquire().unwrap());
    let report = database.close(Duration::from_secs(5)).await;
    assert!(!report.complete);
    assert_eq!((report.leaked, report.waited.as_secs()), (2, 5));
    assert!(pool.acquire().is_err(), "the pool takes no new work");
    assert!(matches!(
        database.status(),
        Status::Closed { generation: 1 }
    ));

    let again = database.initialize().await.unwrap();
    assert!(again.acquire().is_ok() && !Arc::ptr_eq(&pool, &again));
}

#[tokio::test]
async fn close_during_initialisation_gives_joiners_shut_down() {
    for phase in [Phase::Connect, Phase::Ping, Phase::Migrate] {
        let gate = Gated::new(phase);
        let database = Database::builder(gate.clone()).migrations(notes()).build();
        let database = Arc::new(database.unwrap());
        let mut joiners = JoinSet::new();
        for _ in 0..10 {
            let database = Arc::clone(&database);
            joiners.spawn(async move { database.initialize().await });
        }
        gate.reached().await;
        let report = database.close(LONG).await;
        assert!(report.complete && report.leaked == 0, "{report:?}");
        for outcome in joiners.join_all().await {
            assert!(matches!(*outcome.unwrap_err(), InitError::ShutDown));
        }
        assert!(matches!(
            database.status(),
            Status::Closed { generation: 1 }
        ));
        let opened = u64::from(phase != Phase::Connect);
        assert_eq!(gate.pools_closed(), opened, "the half-open pool is closed");

        // The attempt that was stopped never publishes, and the next generation does.
        gate.open(1);
        tokio::task::yield_now().await;
        assert!(database.get().is_none() && gate.memory.applied().is_empty());
        database.initialize().await.unwrap();
        assert!(matches!(database.status(), Status::Ready { generation: 2 }));
    }
}

#[tokio::test(start_paused = true)]
async fn failed_database_is_closed_and_can_be_initialised_again() {
    let (server, database) = memory();
    server.set_down(true);
    let outcome = timeout(2 * LONG, database.initialize()).await.unwrap();
    outcome.unwrap_err();
    assert!(matches!(
        database.status(),
        Status::Failed { generation: 1, .. }
    ));
    let report = database.close(LONG).await;
    assert!(report.complete, "{report:?}");
    assert_eq!(
        (report.generation, report.leaked),
        (0, 0),
        "nothing was open"
    );
    assert!(matches!(
        database.status(),
        Status::Closed { generation: 1 }
    ));
    server.set_down(false);
    tokio::time::sleep(LONG).await;
    database.initialize().await.unwrap();
    assert!(matches!(database.status(), Status::Ready { generation: 2 }));
}

#[tokio::test(start_paused = true)]
async fn attempt_that_nobody_polls_does_not_hold_up_close() {
    let gate = Gated::new(Phase::Migrate);
    let database = Database::builder(gate.clone()).build().unwrap();
    let mut parked = Box::pin(database.initialize());
    assert!(timeout(Duration::from_secs(1), &mut parked).await.is_err());

    let report = database.close(Duration::from_secs(5)).await;
    assert_eq!(report.waited.as_secs(), 5);
    assert!(!report.complete);
    gate.open(1);
    assert!(matches!(*parked.await.unwrap_err(), InitError::ShutDown));
    assert!(database.get().is_none() && gate.memory.applied().is_empty());
    gate.open(1);
    database.initialize().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn initialise_during_closing_waits_and_opens_again() {
    let (server, database) = memory();
    let connection = database.initialize().await.unwrap().acquire().unwrap();
    let mut closers = JoinSet::new();
    for _ in 0..2 {
        let database = Arc::clone(&database);
        closers.spawn(async move { database.close(LONG).await });
    }
    tokio::task::yield_now().await;
    let mut again = Box::pin(database.initialize());
    assert!(timeout(Duration::from_secs(1), &mut again).await.is_err());
    let refusal = database.try_initialize().await.unwrap_err();
    assert!(matches!(*refusal, InitError::AlreadyInProgress));
    assert_eq!(server.connects(), 1);

    drop(connection);
    again.await.unwrap();
    assert!(matches!(database.status(), Status::Ready { generation: 2 }));
    assert_eq!(server.connects(), 2);
    let reports = closers.join_all().await;
    let mut closed: Vec<u64> = reports.iter().map(|report| report.generation).collect();
    closed.sort_unstable();
    assert_eq!(closed, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn impatient_closer_does_not_end_the_close_of_a_patient_one() {
    let (_, database) = memory();
    let connection = database.initialize().await.unwrap().acquire().unwrap();
    let mut patient = Box::pin(database.close(LONG));
    let mut impatient = Box::pin(database.close(Duration::from_secs(1)));
    let report = tokio::select! {
        biased;
        _ = &mut patient => panic!("closed while a connection was out"),
        report = &mut impatient => report,
    };
    assert!(!report.complete);
    assert!(matches!(
        database.status(),
        Status::Closing { generation: 1 }
    ));
    drop(connection);
    assert!(patient.await.complete);
    assert!(matches!(
        database.status(),
        Status::Closed { generation: 1 }
    ));
}

#[tokio::test(start_paused = true)]
async fn dropped_close_leaves_a_closed_database_that_opens_again() {
    let (_, database) = memory();
    let pool = database.initialize().await.unwrap();
    let connection = pool.acquire().unwrap();
    let close = timeout(Duration::from_secs(1), database.close(LONG));
    assert!(close.await.is_err());
    assert!(matches!(
        database.status(),
        Status::Closed { generation: 1 }
    ));
    assert!(database.get().is_none() && pool.acquire().is_err());
    drop(connection);
    database.initialize().await.unwrap();
}

#[tokio::test]
async fn nothing_to_close_is_no_error() {
    let (_, database) = memory();
    let report = database.close(LONG).await;
    assert!(report.complete);
    assert_eq!((report.generation, report.leaked), (0, 0));
    assert!(matches!(database.status(), Status::Idle));
    database.initialize().await.unwrap();
    database.close(LONG).await;
    assert_eq!(database.close(LONG).await.generation, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storm_of_openers_and_closers_ends_consistent() {
    // Each storm has its own races; a pool that was published must survive all of them.
    for _ in 0..10 {
        storm().await;
    }
}

async fn storm() {
    let (server, database) = memory();
    let mut tasks = JoinSet::new();
    for number in 0..400 {
        let database = Arc::clone(&database);
        tasks.spawn(async move {
            if number % 4 == 0 {
                assert!(database.close(LONG).await.complete);
            } else {
                match database.initialize().await {
                    Ok(_) => {}
                    Err(error) => assert!(matches!(*error, InitError::ShutDown), "{error}"),
                }
            }
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
    let pool = database.initialize().await.unwrap();
    pool.acquire().unwrap();
    let status = database.status();
    assert!(status.is_ready(), "{status}");
    assert!(server.connects() <= 301);
}
