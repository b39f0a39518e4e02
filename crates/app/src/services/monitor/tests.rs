use std::pin::pin;

use steadfast_clock::SystemClock;
use steadfast_db_init::{Database, MemoryBackend};
use steadfast_lifecycle::{
    Health, Lifecycle, ServiceSpec,
    test_util::{Journal, ScriptedService},
};
use steadfast_sync::{AsyncLock, Semaphore};

use super::*;

/// Does `scenario` while the monitor looks; the time is paused.
async fn watched(
    lifecycle: LifecycleHandle,
    database: Arc<dyn WatchedDatabase>,
    scenario: impl AsyncFnOnce(&Alerts),
) {
    let alerts = Alerts::new(Arc::new(SystemClock));
    let stop = CancellationToken::new();
    let watch = watch(lifecycle, database, alerts.clone(), stop.clone());
    let scenario = async {
        scenario(&alerts).await;
        stop.cancel();
    };
    tokio::join!(watch, scenario);
}

fn is_active(alerts: &Alerts, name: &str, subject: &str) -> bool {
    let active = alerts.active();
    active
        .iter()
        .any(|it| (it.name, &*it.subject) == (name, subject))
}

/// Waits until the alert is, or is no longer, active.
async fn until(alerts: &Alerts, name: &str, subject: &str, wanted: bool) {
    let polled = async {
        while is_active(alerts, name, subject) != wanted {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let limit = Duration::from_secs(60);
    let reached = tokio::time::timeout(limit, polled).await;
    assert!(
        reached.is_ok(),
        "{name} of {subject}: {:?}",
        alerts.active()
    );
}

fn nothing() -> (LifecycleHandle, Arc<dyn WatchedDatabase>) {
    let lifecycle = Lifecycle::builder().handle();
    (lifecycle, database(&MemoryBackend::new()))
}

/// A database with the settings of the binary that give up after two attempts.
fn database(server: &MemoryBackend) -> Arc<Database<MemoryBackend>> {
    let builder = Database::builder(server.clone()).max_attempts(2);
    let builder = builder.failure_threshold(INITIALISATION_FAILURES);
    Arc::new(builder.build().unwrap())
}

/// A lifecycle of one service, started, with the settings of the binary.
async fn one_service() -> (Lifecycle, Arc<ScriptedService>) {
    let service = ScriptedService::new(ServiceSpec::new("hub"), &Journal::default());
    let service = Arc::new(service);
    let builder = Lifecycle::builder().service(service.clone());
    let builder = builder.probe_interval(super::super::PROBE_INTERVAL);
    let lifecycle = builder.failure_threshold(FAILURES).build().unwrap();
    lifecycle.start().await.unwrap();
    (lifecycle, service)
}

#[tokio::test(start_paused = true)]
async fn service_that_is_unhealthy_is_down_until_a_probe_finds_it_well() {
    let (lifecycle, service) = one_service().await;
    watched(lifecycle.handle(), nothing().1, async |alerts| {
        for round in 1..=2 {
            service.set_health(Health::unhealthy("no socket"));
            until(alerts, "service_down", "hub", true).await;
            let alert = alerts.active().remove(0);
            assert_eq!((alert.count, &*alert.message), (round, "no socket"));
            service.set_health(Health::healthy());
            until(alerts, "service_down", "hub", false).await;
        }
    })
    .await;
    lifecycle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn service_that_failed_before_anybody_looked_is_down() {
    let (lifecycle, service) = one_service().await;
    service.set_health(Health::unhealthy("no socket"));
    let mut snapshot = lifecycle.subscribe();
    let failed = snapshot.wait_for(|now| now.services[0].failures > 3);
    failed.await.unwrap();
    watched(lifecycle.handle(), nothing().1, async |alerts| {
        until(alerts, "service_down", "hub", true).await;
    })
    .await;
    lifecycle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn initialisation_that_failed_thrice_in_a_row_is_told_until_one_succeeds() {
    let server = MemoryBackend::new();
    server.set_down(true);
    let database = database(&server);
    watched(nothing().0, database.clone(), async |alerts| {
        database.initialize().await.unwrap_err();
        tokio::time::sleep(2 * INTERVAL).await;
        assert_eq!(database.snapshot().failures, 2);
        assert_eq!(alerts.active(), []);
        let error = database.initialize().await.unwrap_err();
        until(alerts, "initialisation_fails", "database", true).await;
        let message = alerts.active().remove(0).message;
        let cause = database.snapshot().last_error.unwrap();
        assert_eq!(message, *cause, "{error}");
        server.set_down(false);
        database.initialize().await.unwrap();
        until(alerts, "initialisation_fails", "database", false).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn initialisation_that_failed_before_anybody_looked_is_told() {
    let server = MemoryBackend::new();
    server.set_down(true);
    let database = database(&server);
    for _ in 0..2 {
        database.initialize().await.unwrap_err();
    }
    watched(nothing().0, database, async |alerts| {
        until(alerts, "initialisation_fails", "database", true).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lock_that_is_held_long_and_one_that_is_waited_for_long_are_told_apart() {
    let lock = AsyncLock::builder().name("a long lock").build().unwrap();
    let (lifecycle, database) = nothing();
    watched(lifecycle, database, async |alerts| {
        let guard = lock.lock("key").await.unwrap();
        tokio::time::sleep(LONG - Duration::from_millis(1)).await;
        assert!(!is_active(alerts, "long_hold", "a long lock"));
        until(alerts, "long_hold", "a long lock", true).await;
        let message = alerts.active().remove(0).message;
        assert!(message.contains(file!()), "{message}");

        let mut waiter = pin!(lock.lock("key"));
        assert!(futures_util::poll!(&mut waiter).is_pending());
        until(alerts, "long_wait", "a long lock", true).await;
        assert!(!is_active(alerts, "long_hold", "a long lock"));
        drop(guard);
        drop(waiter.await.unwrap());
        until(alerts, "long_wait", "a long lock", false).await;
        assert!(!is_active(alerts, "long_hold", "a long lock"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn permit_that_is_held_long_and_one_that_is_waited_for_long_are_told_apart() {
    let semaphore = Semaphore::builder(1).name("long work").build().unwrap();
    let (lifecycle, database) = nothing();
    watched(lifecycle, database, async |alerts| {
        let permit = semaphore.acquire(1).await.unwrap();
        until(alerts, "long_hold", "long work", true).await;
        let mut waiter = pin!(semaphore.acquire(1));
        assert!(futures_util::poll!(&mut waiter).is_pending());
        until(alerts, "long_wait", "long work", true).await;
        drop(permit);
        drop(waiter.await.unwrap());
        until(alerts, "long_wait", "long work", false).await;
        assert!(!is_active(alerts, "long_hold", "long work"));
    })
    .await;
}
