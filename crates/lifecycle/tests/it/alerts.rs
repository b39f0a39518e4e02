use std::sync::Arc;

use steadfast_lifecycle::{
    ALERT_BUFFER, Alert, Health, Lifecycle, ServiceSpec,
    test_util::{Journal, ScriptedService, Step},
};
use tokio::{
    sync::broadcast::error::{RecvError, TryRecvError},
    time::sleep,
};

use crate::support::{MS, SEC, app, web_app};

fn fails(service: &str, failures: u32, error: &str) -> Alert {
    Alert::FailsRepeatedly {
        service: service.into(),
        failures,
        error: error.into(),
    }
}

fn recovered(service: &str, failures: u32) -> Alert {
    Alert::Recovered {
        service: service.into(),
        failures,
    }
}

#[tokio::test(start_paused = true)]
async fn third_unhealthy_probe_in_a_row_raises_one_alert_and_recovery_another() {
    let app = web_app();
    let mut alerts = app.lifecycle.handle().alerts();
    app.lifecycle.start().await.unwrap();
    app.service("cache").set_health(Health::unhealthy("gone"));
    // Probes at 0, 5, …, the first of them before the service was unhealthy.
    sleep(11 * SEC).await;
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty));
    let cache = app.lifecycle.snapshot().service("cache").unwrap().clone();
    assert_eq!(
        (cache.failures, cache.last_error.as_deref()),
        (2, Some("gone"))
    );

    sleep(30 * SEC).await;
    assert_eq!(alerts.try_recv(), Ok(fails("cache", 3, "gone")));
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty), "only one");

    app.service("cache").set_health(Health::degraded("slow"));
    sleep(10 * SEC).await;
    assert_eq!(alerts.try_recv(), Ok(recovered("cache", 8)));
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty));
    let cache = app.lifecycle.snapshot().service("cache").unwrap().clone();
    assert_eq!(
        (cache.failures, cache.last_error.as_deref()),
        (0, Some("gone"))
    );
}

#[tokio::test(start_paused = true)]
async fn healthy_probe_in_between_starts_the_count_anew() {
    let app = web_app();
    let mut alerts = app.lifecycle.handle().alerts();
    app.lifecycle.start().await.unwrap();
    for _ in 0..5 {
        app.service("cache").set_health(Health::unhealthy("gone"));
        sleep(10 * SEC).await;
        app.service("cache").set_health(Health::healthy());
        sleep(5 * SEC).await;
    }
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test(start_paused = true)]
async fn start_that_fails_in_one_run_after_the_other_raises_an_alert() {
    let app = app([ServiceSpec::new("database")]);
    let mut alerts = app.lifecycle.handle().alerts();
    app.service("database").set_start(Step::Fail);
    for run in 1..=4 {
        app.lifecycle.start().await.unwrap_err();
        assert_eq!(app.lifecycle.snapshot().services[0].failures, run);
    }
    let raised = fails("database", 3, "start failed as scripted");
    assert_eq!(alerts.try_recv(), Ok(raised));
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty));

    app.service("database").set_start(Step::Succeed);
    app.lifecycle.start().await.unwrap();
    sleep(MS).await;
    assert_eq!(alerts.try_recv(), Ok(recovered("database", 4)));
}

#[tokio::test(start_paused = true)]
async fn reported_failure_and_failed_stop_count_and_the_stop_keeps_the_count() {
    let app = web_app();
    app.service("cache").set_stop(Step::Fail);
    app.lifecycle.start().await.unwrap();
    sleep(MS).await;
    app.service("cache").report_failure("evicted");
    sleep(MS).await;
    assert_eq!(
        app.lifecycle.snapshot().service("cache").unwrap().failures,
        1
    );
    app.lifecycle.stop().await.unwrap_err();
    let snapshot = app.lifecycle.snapshot();
    let cache = snapshot.service("cache").unwrap();
    assert_eq!(cache.failures, 2);
    let error = cache.last_error.as_deref();
    assert_eq!(error, Some("stop: stop failed as scripted"));
    assert_eq!(snapshot.service("database").unwrap().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn slow_reader_is_told_how_many_alerts_it_missed() {
    let service = Arc::new(ScriptedService::new(
        ServiceSpec::new("a"),
        &Journal::default(),
    ));
    let app = Lifecycle::builder()
        .service(Arc::clone(&service) as _)
        .failure_threshold(1)
        .build()
        .unwrap();
    let mut alerts = app.handle().alerts();
    app.start().await.unwrap();
    sleep(MS).await;
    for _ in 0..ALERT_BUFFER {
        service.set_health(Health::unhealthy("gone"));
        sleep(5 * SEC).await;
        service.set_health(Health::healthy());
        sleep(5 * SEC).await;
    }
    let missed = ALERT_BUFFER as u64;
    assert_eq!(alerts.recv().await, Err(RecvError::Lagged(missed)));
    assert_eq!(alerts.recv().await, Ok(fails("a", 1, "gone")));
}
