//! Services that fail while the application runs, and come back.

use std::time::Duration;

use steadfast_lifecycle::{
    RestartPolicy, ServiceError, ServiceSpec, ServiceState, StartOutcome, Status,
    test_util::{Event, Step},
};
use tokio::time::{Instant, sleep};

use crate::support::{App, MS, SEC, app, names};

mod interrupted;
mod limits;

/// At most two restarts in a minute, each after at most a second.
const TWICE: RestartPolicy = RestartPolicy::OnFailure {
    initial_delay: SEC,
    max_delay: SEC,
    max_restarts: 2,
    within: Duration::from_secs(60),
};

/// `database` <- `cache` (optional) and `database` <- `http`, which wants `cache`; all are
/// restarted.
fn web_app() -> App {
    app([
        ServiceSpec::new("http").requires("database").wants("cache"),
        ServiceSpec::new("cache").requires("database").optional(),
        ServiceSpec::new("database"),
    ]
    .map(|spec| spec.restart(TWICE)))
}

/// What happens in it when `database` fails.
const ALL_AGAIN: [&str; 12] = [
    "stop http",
    "down http",
    "stop cache",
    "down cache",
    "stop database",
    "down database",
    "start database",
    "up database",
    "start cache",
    "up cache",
    "start http",
    "up http",
];

fn state(app: &App, name: &str) -> ServiceState {
    app.lifecycle.snapshot().service(name).expect("known").state
}

fn restarts(app: &App, name: &str) -> u32 {
    let snapshot = app.lifecycle.snapshot();
    snapshot.service(name).expect("known").restarts
}

async fn until(app: &App, name: &str, state: ServiceState) {
    let is = |now: &steadfast_lifecycle::Snapshot| now.service(name).expect("known").state == state;
    app.until(|now| is(now)).await;
}

/// What happened after so many events.
fn since(app: &App, events: usize) -> Vec<String> {
    let tell = |event: &Event| match event {
        Event::StartEntered(name) => format!("start {name}"),
        Event::Started(name) => format!("up {name}"),
        Event::StopEntered(name) => format!("stop {name}"),
        Event::Stopped(name) => format!("down {name}"),
    };
    app.journal.events()[events..].iter().map(tell).collect()
}

#[expect(clippy::disallowed_methods, reason = "reads tokio's paused time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn failed_service_is_stopped_after_its_dependants_and_started_before_them() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    let before = app.journal.events().len();
    app.service("database").report_failure("disk is gone");
    until(&app, "database", ServiceState::Restarting).await;
    assert_eq!(app.lifecycle.snapshot().status, Status::Unhealthy);
    app.until(|now| now.status == Status::Running).await;
    assert_eq!(since(&app, before), ALL_AGAIN);
    let counts = ["database", "cache", "http"].map(|name| restarts(&app, name));
    assert_eq!(counts, [1, 0, 0], "the others only followed");
    app.lifecycle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn services_that_do_not_require_it_go_on() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    let before = app.journal.events().len();
    app.service("cache").report_failure("evicted");
    until(&app, "cache", ServiceState::Restarting).await;
    let snapshot = app.lifecycle.snapshot();
    assert_eq!(snapshot.status, Status::Degraded);
    assert!(snapshot.is_ready());
    app.until(|now| now.status == Status::Running).await;
    let expected = ["stop cache", "down cache", "start cache", "up cache"];
    assert_eq!(since(&app, before), expected);

    let before = app.journal.events().len();
    app.lifecycle.stop().await.unwrap();
    let expected = [
        "stop http",
        "down http",
        "stop cache",
        "down cache",
        "stop database",
        "down database",
    ];
    assert_eq!(since(&app, before), expected, "`http` wants `cache`");
}

#[tokio::test(start_paused = true)]
async fn restarting_service_says_why_and_since_when() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    app.service("database").set_stop(Step::After(5 * SEC));
    app.service("database").report_failure("disk is gone");
    until(&app, "database", ServiceState::Restarting).await;
    let first = app.lifecycle.snapshot();
    sleep(4 * SEC).await;
    let later = app.lifecycle.snapshot();
    for (name, detail) in [
        ("database", "disk is gone"),
        ("http", "dependency `database` is not up"),
    ] {
        let service = later.service(name).unwrap();
        assert_eq!(service.state, ServiceState::Restarting);
        assert_eq!(service.detail.as_deref(), Some(detail));
        assert_eq!(service.since, first.service(name).unwrap().since);
    }
    assert_eq!(later.service("database").unwrap().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn delays_are_random_and_within_a_ceiling_that_doubles() {
    let policy = RestartPolicy::OnFailure {
        initial_delay: SEC,
        max_delay: 4 * SEC,
        max_restarts: 30,
        within: 3_600 * SEC,
    };
    let app = app([ServiceSpec::new("a").restart(policy)]);
    app.lifecycle.start().await.unwrap();
    let mut delays = Vec::new();
    for _ in 0..30 {
        let begun = now();
        app.service("a").report_failure("broken");
        until(&app, "a", ServiceState::Restarting).await;
        until(&app, "a", ServiceState::Running).await;
        delays.push(begun.elapsed());
    }
    // Timers are good to a millisecond.
    for (delay, ceiling) in delays.iter().zip([1, 2, 4, 4, 4]) {
        assert!(*delay <= ceiling * SEC + MS, "{delays:?}");
    }
    assert!(delays.iter().all(|delay| *delay <= 4 * SEC + MS));
    // Of 28 uniform ones none is in the upper half once in 10^8 cases.
    assert!(delays.iter().any(|delay| *delay > 2 * SEC), "{delays:?}");
    delays.dedup();
    assert!(delays.len() > 20, "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn optional_service_that_fails_at_start_is_retried_and_its_dependants_come_up_with_it() {
    let app = app([
        ServiceSpec::new("warmer").requires("cache").optional(),
        ServiceSpec::new("cache").optional().restart(TWICE),
        ServiceSpec::new("http"),
    ]);
    app.service("cache").set_start(Step::Fail);
    let report = app.lifecycle.start().await.unwrap();
    let [ref cache, ref warmer, _] = report.services[..] else {
        panic!("{report:?}");
    };
    assert!(matches!(cache.outcome, StartOutcome::Failed(_)));
    assert!(matches!(warmer.outcome, StartOutcome::Skipped { .. }));
    assert_eq!(app.lifecycle.snapshot().status, Status::Degraded);
    app.service("cache").set_start(Step::Succeed);
    app.until(|now| now.status == Status::Running).await;
    assert_eq!(
        names(&app.journal.starts()),
        ["cache", "http", "cache", "warmer"]
    );
    assert_eq!(restarts(&app, "cache"), 1);
    assert_eq!(restarts(&app, "warmer"), 0);
}

#[tokio::test(start_paused = true)]
async fn required_service_that_fails_during_the_start_ends_it_whatever_its_policy() {
    let app = web_app();
    app.service("database").set_start(Step::Fail);
    app.lifecycle.start().await.unwrap_err();
    assert_eq!(names(&app.journal.starts()), ["database"]);
    assert_eq!(state(&app, "database"), ServiceState::Failed);
}

#[tokio::test(start_paused = true)]
async fn failure_of_an_optional_service_during_the_start_is_dealt_with_after_it() {
    let app = web_app();
    app.service("http").set_start(Step::After(5 * SEC));
    let (started, ()) = tokio::join!(app.lifecycle.start(), async {
        until(&app, "http", ServiceState::Starting).await;
        app.service("cache").report_failure("evicted");
        sleep(4 * SEC).await;
        assert_eq!(state(&app, "cache"), ServiceState::Restarting);
        assert!(
            app.journal.stops().is_empty(),
            "nothing is stopped during a start"
        );
    });
    started.unwrap();
    app.until(|now| now.status == Status::Running).await;
    assert_eq!(names(&app.journal.stops()), ["cache"]);
}

#[tokio::test(start_paused = true)]
async fn failed_stop_does_not_keep_a_service_from_coming_back() {
    for step in [Step::Fail, Step::Panic, Step::Hang] {
        let app = web_app();
        app.lifecycle.start().await.unwrap();
        app.service("database").set_stop(step);
        app.service("database").report_failure("disk is gone");
        until(&app, "database", ServiceState::Restarting).await;
        app.until(|now| now.status == Status::Running).await;
        let snapshot = app.lifecycle.snapshot();
        assert_eq!(
            snapshot.service("database").unwrap().failures,
            2,
            "{step:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn restart_counts_are_those_of_the_run() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    app.service("cache").report_failure("evicted");
    until(&app, "cache", ServiceState::Restarting).await;
    until(&app, "cache", ServiceState::Running).await;
    assert_eq!(restarts(&app, "cache"), 1);
    app.lifecycle.stop().await.unwrap();
    assert_eq!(restarts(&app, "cache"), 1);
    app.lifecycle.start().await.unwrap();
    assert_eq!(restarts(&app, "cache"), 0);
}

#[tokio::test(start_paused = true)]
async fn error_that_will_not_pass_is_not_retried() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    let error = ServiceError::permanent("no such table");
    app.service("cache").report(error);
    sleep(60 * SEC).await;
    assert_eq!(state(&app, "cache"), ServiceState::Failed);
    assert_eq!(app.journal.starts().len(), 3);
}
