use std::time::Duration;

use steadfast_lifecycle::{
    Fault, ServiceSpec, ServiceState, StartError, StartOutcome, Status, test_util::Step,
};
use tokio::join;

use crate::support::{MS, SEC, app, names, stopped, web_app};

#[tokio::test(start_paused = true)]
async fn concurrent_starts_join_and_share_the_outcome() {
    let app = web_app();
    app.service("database").set_start(Step::After(SEC));
    let (a, b, c) = join!(
        app.lifecycle.start(),
        app.lifecycle.start(),
        app.lifecycle.start()
    );
    for report in [a, b, c] {
        assert!(report.unwrap().is_complete());
    }
    assert_eq!(names(&app.journal.starts()), ["database", "cache", "http"]);
    assert_eq!(app.lifecycle.snapshot().status, Status::Running);

    app.lifecycle.start().await.unwrap();
    assert_eq!(app.journal.starts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn joined_starts_share_a_failure_and_the_next_start_tries_anew() {
    let app = web_app();
    app.service("http").set_start(Step::Fail);
    let (a, b) = join!(app.lifecycle.start(), app.lifecycle.start());
    for outcome in [a, b] {
        assert!(matches!(
            outcome,
            Err(StartError::RequiredFailed { service, .. }) if &*service == "http"
        ));
    }
    assert_eq!(app.journal.starts().len(), 3);

    app.service("http").set_start(Step::Succeed);
    assert!(app.lifecycle.start().await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn required_failure_rolls_back_and_names_every_outcome() {
    let app = web_app();
    app.service("http")
        .set_start(Step::Fail)
        .set_stop(Step::Panic);
    app.service("cache").set_stop(Step::Hang);
    let error = app.lifecycle.start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "required service `http` failed during the start; rolled back: \
         `http` failed (panicked: stop failed as scripted), \
         `cache` failed (timed out after 10s), `database` stopped"
    );
    let StartError::RequiredFailed { fault, .. } = error else {
        panic!("another error: {error}");
    };
    assert!(matches!(fault, Fault::Failed(error) if error.is_transient()));

    let snapshot = app.lifecycle.snapshot();
    assert_eq!(snapshot.status, Status::Stopped);
    let database = snapshot.service("database").unwrap();
    assert_eq!(database.state, ServiceState::Stopped);
    let http = snapshot.service("http").unwrap();
    assert_eq!(http.state, ServiceState::Failed);
    assert_eq!(
        http.detail.as_deref(),
        Some("stop: panicked: stop failed as scripted")
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_rollback_only_the_culprit_is_failed_and_nothing_is_pending() {
    let app = web_app();
    app.service("database").set_start(Step::Fail);
    app.lifecycle.start().await.unwrap_err();
    let snapshot = app.lifecycle.snapshot();
    let states = ["database", "cache", "http"].map(|name| snapshot.service(name).unwrap().state);
    use ServiceState::{Failed, Stopped};
    assert_eq!(states, [Failed, Stopped, Stopped]);
    let detail = snapshot.service("database").unwrap().detail.as_deref();
    assert_eq!(detail, Some("start failed as scripted"));
}

#[tokio::test(start_paused = true)]
async fn optional_service_that_reports_failure_in_its_own_start_is_not_up() {
    let app = app([
        ServiceSpec::new("base").optional(),
        ServiceSpec::new("top").requires("base").optional(),
    ]);
    app.service("base").set_start(Step::After(SEC));
    let (report, ()) = join!(app.lifecycle.start(), async {
        app.until(|now| now.service("base").unwrap().state == ServiceState::Starting)
            .await;
        tokio::time::sleep(MS).await;
        app.service("base").report_failure("broken already");
    });
    assert!(!report.unwrap().is_complete());
    let snapshot = app.lifecycle.snapshot();
    assert_eq!(
        snapshot.service("base").unwrap().state,
        ServiceState::Failed
    );
    assert_eq!(
        snapshot.service("top").unwrap().state,
        ServiceState::Skipped
    );
}

#[tokio::test(start_paused = true)]
async fn optional_failure_skips_its_dependants_and_degrades_the_app() {
    for (step, detail) in [
        (Step::Fail, "start failed as scripted"),
        (Step::Panic, "panicked: start failed as scripted"),
        (Step::Hang, "timed out after 30s"),
    ] {
        let app = app([
            ServiceSpec::new("base").optional(),
            ServiceSpec::new("middle").requires("base").optional(),
            ServiceSpec::new("top").requires("middle").optional(),
            ServiceSpec::new("other").wants("base"),
        ]);
        app.service("base").set_start(step);
        let report = app.lifecycle.start().await.unwrap();
        assert!(!report.is_complete());
        assert!(matches!(
            &report.services[2].outcome,
            StartOutcome::Skipped { dependency } if &**dependency == "middle"
        ));
        let snapshot = app.lifecycle.snapshot();
        assert_eq!(snapshot.status, Status::Degraded);
        assert!(snapshot.is_ready());
        let base = snapshot.service("base").unwrap();
        assert_eq!(base.state, ServiceState::Failed);
        assert_eq!(base.detail.as_deref(), Some(detail));
        let top = snapshot.service("top").unwrap();
        assert_eq!(top.state, ServiceState::Skipped);

        let report = app.lifecycle.stop().await.unwrap();
        assert_eq!(stopped(&report), ["other", "base"]);
    }
}

#[tokio::test(start_paused = true)]
async fn start_as_a_whole_has_a_limit() {
    let app = app((0..5).map(|i| ServiceSpec::new(format!("s{i}"))));
    for service in &app.services {
        service.set_start(Step::After(25 * SEC));
    }
    let error = app.lifecycle.start().await.unwrap_err();
    let StartError::TimedOut {
        service,
        after,
        rollback,
    } = error
    else {
        panic!("another error: {error}");
    };
    assert_eq!((&*service, after), ("s2", 60 * SEC));
    assert_eq!(stopped(&rollback), ["s2", "s1", "s0"]);
}

#[tokio::test(start_paused = true)]
async fn failure_reported_during_the_start_of_another_ends_the_start() {
    let app = web_app();
    app.service("http").set_start(Step::AwaitCancel);
    let (outcome, ()) = join!(app.lifecycle.start(), async {
        app.until(|now| now.service("http").unwrap().state == ServiceState::Starting)
            .await;
        app.service("database").report_failure("disk is gone");
    });
    let error = outcome.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("required service `database` failed")
    );
    let fault = std::error::Error::source(&error).unwrap();
    assert_eq!(fault.to_string(), "disk is gone");
    assert_eq!(names(&app.journal.stops()), ["http", "cache", "database"]);
}

#[tokio::test(start_paused = true)]
async fn dropped_start_goes_on_for_those_who_come_later() {
    let app = web_app();
    app.service("database").set_start(Step::After(SEC));
    let dropped = tokio::time::timeout(10 * MS, app.lifecycle.start()).await;
    assert!(dropped.is_err());
    assert!(app.lifecycle.start().await.unwrap().is_complete());
    assert_eq!(app.journal.starts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn report_tells_how_long_each_start_took() {
    let app = web_app();
    app.service("cache").set_start(Step::After(250 * MS));
    let report = app.lifecycle.start().await.unwrap();
    let took: Vec<_> = report
        .services
        .iter()
        .map(|service| (&*service.name, service.elapsed))
        .collect();
    assert_eq!(
        took,
        [
            ("database", Duration::ZERO),
            ("cache", 250 * MS),
            ("http", Duration::ZERO)
        ]
    );
}

/// Whoever has the outcome of a start may begin the next at once, on any thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_right_after_a_failed_one_is_another() {
    let app = app([ServiceSpec::new("database")]);
    app.service("database").set_start(Step::Fail);
    for starts in 1..=1_000 {
        app.lifecycle.start().await.unwrap_err();
        assert_eq!(app.journal.starts().len(), starts);
    }
}
