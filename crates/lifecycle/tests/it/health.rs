use std::{sync::Arc, time::SystemTime};

use steadfast_clock::{Clock, ManualClock};
use steadfast_lifecycle::{
    Health, Lifecycle, ServiceSpec, ServiceState, Status,
    test_util::{Journal, ScriptedService, Step},
};
use tokio::time::sleep;

use crate::support::{MS, SEC, app, web_app};

#[tokio::test(start_paused = true)]
async fn probes_keep_the_snapshot_true() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    sleep(MS).await;
    assert_eq!(app.lifecycle.snapshot().status, Status::Running);

    app.service("cache").set_health(Health::unhealthy("gone"));
    sleep(5 * SEC).await;
    let snapshot = app.lifecycle.snapshot();
    assert_eq!(snapshot.status, Status::Degraded);
    let cache = snapshot.service("cache").unwrap();
    assert_eq!(cache.state, ServiceState::Unhealthy);
    assert_eq!(cache.detail.as_deref(), Some("gone"));
    assert!(snapshot.is_ready(), "it can do without an optional service");

    app.service("database")
        .set_health(Health::unhealthy("gone"));
    sleep(5 * SEC).await;
    let snapshot = app.lifecycle.snapshot();
    assert_eq!(snapshot.status, Status::Unhealthy);
    assert!(snapshot.is_live() && !snapshot.is_ready());

    for name in ["cache", "database"] {
        app.service(name).set_health(Health::healthy());
    }
    sleep(5 * SEC).await;
    assert_eq!(app.lifecycle.snapshot().status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn hanging_or_panicking_probe_is_unhealthy_and_holds_up_nobody() {
    let app = web_app();
    app.service("database").set_probe(Step::Hang);
    app.service("cache").set_probe(Step::Panic);
    app.service("http").set_health(Health::degraded("slow"));
    app.lifecycle.start().await.unwrap();
    sleep(MS).await;
    let http = app.lifecycle.snapshot().service("http").unwrap().clone();
    assert_eq!(http.state, ServiceState::Degraded);

    sleep(SEC).await;
    let snapshot = app.lifecycle.snapshot();
    let detail = |name| snapshot.service(name).unwrap().detail.as_deref();
    assert_eq!(detail("database"), Some("health probe timed out after 1s"));
    assert_eq!(
        detail("cache"),
        Some("health probe panicked: probe failed as scripted")
    );
}

#[tokio::test(start_paused = true)]
async fn hanging_probe_does_not_delay_a_stop() {
    let app = web_app();
    app.service("database").set_probe(Step::Hang);
    app.lifecycle.start().await.unwrap();
    sleep(MS).await;
    let stop = tokio::time::timeout(MS, app.lifecycle.stop()).await;
    assert!(stop.is_ok());
}

#[tokio::test(start_paused = true)]
async fn since_is_when_the_state_began() {
    let clock = Arc::new(ManualClock::ticking(SystemTime::UNIX_EPOCH));
    let service = Arc::new(ScriptedService::new(
        ServiceSpec::new("a"),
        &Journal::default(),
    ));
    let app = Lifecycle::builder()
        .service(Arc::clone(&service) as _)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .probe_interval(SEC)
        .build()
        .unwrap();
    sleep(3 * SEC).await;
    app.start().await.unwrap();
    sleep(10 * SEC).await;
    let since = |app: &Lifecycle| app.snapshot().services[0].since;
    assert_eq!(since(&app), SystemTime::UNIX_EPOCH + 3 * SEC);

    service.set_health(Health::degraded("slow"));
    sleep(20 * SEC).await;
    let degraded = since(&app).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!((13 * SEC..=14 * SEC).contains(&degraded), "{degraded:?}");
}

#[tokio::test(start_paused = true)]
async fn optional_service_that_reports_failure_degrades_and_is_not_revived_by_a_probe() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    app.service("cache").report_failure("evicted");
    sleep(20 * SEC).await;
    let snapshot = app.lifecycle.snapshot();
    assert_eq!(snapshot.status, Status::Degraded);
    let cache = snapshot.service("cache").unwrap();
    assert_eq!(cache.state, ServiceState::Failed);
    assert_eq!(cache.detail.as_deref(), Some("evicted"));
}

#[tokio::test(start_paused = true)]
async fn only_services_that_are_up_are_probed_once_an_interval() {
    let app = web_app();
    app.service("cache").set_start(Step::Fail);
    app.lifecycle.start().await.unwrap();
    sleep(51 * SEC).await;
    assert_eq!(app.service("cache").probes(), 0);
    assert_eq!(app.service("database").probes(), 11);

    app.lifecycle.stop().await.unwrap();
    sleep(60 * SEC).await;
    assert_eq!(app.service("database").probes(), 11);
}

#[tokio::test(start_paused = true)]
async fn hanging_probes_do_not_pile_up() {
    let journal = Journal::default();
    let service = Arc::new(ScriptedService::new(ServiceSpec::new("a"), &journal));
    service.set_probe(Step::Hang);
    let app = Lifecycle::builder()
        .service(Arc::clone(&service) as _)
        .probe_interval(SEC)
        .probe_timeout(10 * SEC)
        .build()
        .unwrap();
    app.start().await.unwrap();
    sleep(60 * SEC).await;
    assert!(service.probes() <= 7, "{} probes", service.probes());
}

#[tokio::test(start_paused = true)]
async fn answer_of_a_probe_that_was_under_way_does_not_undo_a_failure() {
    let app = web_app();
    app.service("cache").set_probe(Step::After(SEC / 2));
    app.lifecycle.start().await.unwrap();
    sleep(SEC / 10).await;
    app.service("cache").report_failure("evicted");
    sleep(SEC).await;
    assert_eq!(app.service("cache").probes(), 1);
    let snapshot = app.lifecycle.snapshot();
    let cache = snapshot.service("cache").unwrap();
    assert_eq!(cache.state, ServiceState::Failed);
    assert_eq!(cache.detail.as_deref(), Some("evicted"));
}

#[tokio::test(start_paused = true)]
async fn change_of_one_service_copies_no_other_even_if_an_older_snapshot_is_kept() {
    let app = app((0..1000).map(|index| ServiceSpec::new(format!("s{index}")).optional()));
    app.lifecycle.start().await.unwrap();
    sleep(MS).await;
    let before = app.lifecycle.snapshot();
    app.service("s500").report_failure("evicted");
    sleep(MS).await;
    let after = app.lifecycle.snapshot();
    assert_eq!(
        (before.status, after.status),
        (Status::Running, Status::Degraded)
    );
    let pairs = before.services.iter().zip(&after.services);
    let copied: Vec<_> = pairs
        .filter(|(before, after)| !Arc::ptr_eq(before, after))
        .map(|(before, _)| &*before.name)
        .collect();
    assert_eq!(copied, ["s500"]);
}
