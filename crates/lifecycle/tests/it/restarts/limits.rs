//! How many restarts there may be, and what comes after them.

use std::{error::Error, time::Duration};

use steadfast_lifecycle::{
    Alert, BuildError, Lifecycle, RestartPolicy, RunError, ServiceSpec, ServiceState, Status,
    test_util::{Journal, ManualSignals, ScriptedService, Step},
};
use tokio::{sync::broadcast::error::TryRecvError, time::sleep};

use super::{TWICE, restarts, state, until, web_app};
use crate::support::{MS, SEC, app};

async fn fail_and_come_back(app: &crate::support::App, name: &str) {
    app.service(name).report_failure("disk is gone");
    until(app, name, ServiceState::Restarting).await;
    until(app, name, ServiceState::Running).await;
}

#[tokio::test(start_paused = true)]
async fn required_service_beyond_its_intensity_stops_the_app_with_its_name_count_and_cause() {
    let app = web_app();
    let (_sender, mut signals) = ManualSignals::new();
    let run = app.lifecycle.run_until_stopped_by(&mut signals, 60 * SEC);
    let (outcome, ()) = tokio::join!(run, async {
        app.until(|now| now.is_ready()).await;
        fail_and_come_back(&app, "database").await;
        app.until(|now| now.is_ready()).await;
        fail_and_come_back(&app, "database").await;
        app.until(|now| now.is_ready()).await;
        app.service("database").report_failure("disk is gone again");
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert_eq!(
        error.to_string(),
        "required service `database` failed after 2 restarts; stopped: `http` stopped, \
         `cache` stopped, `database` stopped"
    );
    assert_eq!(error.source().unwrap().to_string(), "disk is gone again");
    assert_eq!(state(&app, "database"), ServiceState::Failed);
}

#[tokio::test(start_paused = true)]
async fn start_that_fails_again_and_again_uses_up_the_intensity() {
    let app = web_app();
    let (_sender, mut signals) = ManualSignals::new();
    let run = app.lifecycle.run_until_stopped_by(&mut signals, 60 * SEC);
    let (outcome, ()) = tokio::join!(run, async {
        app.until(|now| now.is_ready()).await;
        app.service("database").set_start(Step::Panic);
        app.service("database").report_failure("disk is gone");
    });
    let Err(RunError::ServiceFailed {
        service,
        restarts,
        source,
        ..
    }) = outcome
    else {
        panic!("another outcome: {outcome:?}");
    };
    assert_eq!((&*service, restarts), ("database", 2));
    assert_eq!(source.to_string(), "panicked: start failed as scripted");
    let starts = app.journal.starts();
    let of_database = starts.iter().filter(|name| &***name == "database");
    assert_eq!(of_database.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn optional_service_beyond_its_intensity_fails_for_good_and_its_dependants_are_skipped() {
    let specs = || {
        [
            ServiceSpec::new("warmer").requires("cache").optional(),
            ServiceSpec::new("page").requires("warmer").optional(),
            ServiceSpec::new("cache").optional().restart(TWICE),
            ServiceSpec::new("http").wants("cache"),
        ]
    };
    for fails_in_start in [true, false] {
        let app = app(specs());
        app.lifecycle.start().await.unwrap();
        fail_and_come_back(&app, "cache").await;
        fail_and_come_back(&app, "cache").await;
        if fails_in_start {
            // The window is over for the first two.
            sleep(61 * SEC).await;
            app.service("cache").set_start(Step::Fail);
        }
        app.service("cache").report_failure("evicted");
        sleep(60 * SEC).await;
        let states = ["cache", "warmer", "page", "http"].map(|name| state(&app, name));
        use ServiceState::{Failed, Running, Skipped};
        assert_eq!(states, [Failed, Skipped, Skipped, Running]);
        assert_eq!(app.lifecycle.snapshot().status, Status::Degraded);
        let before = app.journal.starts().len();
        sleep(600 * SEC).await;
        assert_eq!(app.journal.starts().len(), before, "for good");
        app.lifecycle.stop().await.unwrap();
        assert_eq!(app.journal.starts().len(), app.journal.stops().len());
    }
}

#[tokio::test(start_paused = true)]
async fn restarts_longer_ago_than_the_window_do_not_count() {
    let app = app([ServiceSpec::new("a").restart(TWICE)]);
    app.lifecycle.start().await.unwrap();
    for round in 1..=20 {
        fail_and_come_back(&app, "a").await;
        assert_eq!(restarts(&app, "a"), round);
        sleep(30 * SEC + MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_count_failures_of_restarts_in_a_row_and_end_with_a_good_probe() {
    let policy = RestartPolicy::OnFailure {
        initial_delay: MS,
        max_delay: MS,
        max_restarts: 10,
        within: 60 * SEC,
    };
    let app = app([ServiceSpec::new("a").optional().restart(policy)]);
    let mut alerts = app.lifecycle.handle().alerts();
    app.lifecycle.start().await.unwrap();
    // Past the first probe.
    sleep(MS).await;
    app.service("a").set_start(Step::Fail);
    app.service("a").report_failure("broken");
    app.until(|now| now.services[0].failures == 4).await;
    let alert = Alert::FailsRepeatedly {
        service: "a".into(),
        failures: 3,
        error: "start failed as scripted".into(),
    };
    assert_eq!(alerts.try_recv(), Ok(alert));
    assert_eq!(alerts.try_recv(), Err(TryRecvError::Empty));
    app.service("a").set_start(Step::Succeed);
    sleep(5 * SEC).await;
    assert!(matches!(alerts.try_recv(), Ok(Alert::Recovered { .. })));
    assert_eq!(app.lifecycle.snapshot().services[0].failures, 0);
}

#[test]
fn policy_that_cannot_work_is_refused_by_service_and_field() {
    let policy = |initial_delay, max_delay, max_restarts, within| RestartPolicy::OnFailure {
        initial_delay,
        max_delay,
        max_restarts,
        within,
    };
    for (policy, field) in [
        (policy(Duration::ZERO, SEC, 1, SEC), "initial_delay"),
        (policy(SEC, MS, 1, SEC), "max_delay"),
        (policy(SEC, Duration::MAX, 1, SEC), "max_delay"),
        (policy(SEC, SEC, 0, SEC), "max_restarts"),
        (policy(SEC, SEC, 1, Duration::ZERO), "within"),
    ] {
        let spec = ServiceSpec::new("a").restart(policy);
        let service = ScriptedService::new(spec, &Journal::default());
        let outcome = Lifecycle::builder()
            .service(std::sync::Arc::new(service))
            .build();
        let Err(BuildError::RestartPolicy { service, source }) = outcome else {
            panic!("another outcome: {outcome:?}");
        };
        assert_eq!((&*service, source.field()), ("a", field));
    }
    let spec = ServiceSpec::new("a").restart(RestartPolicy::on_failure());
    let service = ScriptedService::new(spec, &Journal::default());
    let lifecycle = Lifecycle::builder().service(std::sync::Arc::new(service));
    assert!(lifecycle.build().is_ok());
}
