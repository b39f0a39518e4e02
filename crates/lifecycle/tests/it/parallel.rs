use std::time::Duration;

use steadfast_lifecycle::{Lifecycle, ServiceSpec, ServiceState, StartError, test_util::Step};
use tokio::time::{sleep, timeout};

use crate::support::{App, MS, SEC, names, parallel_app, stopped};

/// `c` requires `a`, `d` wants `b`; each takes a second to start.
fn slow_app(parallel_starts: usize) -> App {
    let app = parallel_app(
        parallel_starts,
        [
            ServiceSpec::new("a"),
            ServiceSpec::new("b").optional(),
            ServiceSpec::new("c").requires("a"),
            ServiceSpec::new("d").wants("b"),
            ServiceSpec::new("e"),
        ],
    );
    for service in &app.services {
        service.set_start(Step::After(SEC));
    }
    app
}

async fn starts_within(app: &App, time: Duration) -> bool {
    timeout(time, app.lifecycle.start()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn independent_services_start_together_as_many_as_allowed() {
    for (parallel_starts, seconds) in [(1, 5), (2, 3), (3, 2), (100, 2)] {
        let app = slow_app(parallel_starts);
        assert!(!starts_within(&app, seconds * SEC - MS).await);
        assert!(starts_within(&app, 2 * MS).await);
    }
}

#[tokio::test(start_paused = true)]
async fn ties_go_by_registration_and_stops_are_in_the_reverse_order_of_the_starts() {
    let app = slow_app(2);
    app.service("a").set_start(Step::After(2 * SEC + MS));
    app.lifecycle.start().await.unwrap();
    assert_eq!(names(&app.journal.starts()), ["a", "b", "d", "e", "c"]);
    let report = app.lifecycle.stop().await.unwrap();
    assert_eq!(stopped(&report), ["c", "e", "d", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn required_failure_cancels_what_is_starting_and_rolls_it_back() {
    let app = slow_app(8);
    app.service("a").set_start(Step::AwaitCancel);
    app.service("b").set_start(Step::AwaitCancel);
    app.service("e").set_start(Step::Fail);
    // Both heed their token, so that nothing waits for the grace to be over.
    let outcome = timeout(MS, app.lifecycle.start()).await.unwrap();
    let Err(StartError::RequiredFailed {
        service, rollback, ..
    }) = outcome
    else {
        panic!("another outcome: {outcome:?}");
    };
    assert_eq!(&*service, "e");
    assert_eq!(stopped(&rollback), ["e", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn starts_that_ignore_their_token_share_one_grace() {
    let app = slow_app(8);
    for name in ["a", "b", "e"] {
        app.service(name).set_start(Step::Hang);
    }
    let start = app.lifecycle.start();
    let stop = async {
        sleep(MS).await;
        app.lifecycle.stop().await
    };
    let both = async { tokio::join!(start, stop) };
    let (start, stop) = timeout(SEC + 2 * MS, both).await.unwrap();
    assert!(matches!(start, Err(StartError::Stopped { .. })));
    assert_eq!(stopped(&stop.unwrap()), ["e", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn optional_failure_skips_its_dependants_while_others_go_on_starting() {
    let app = parallel_app(
        8,
        [
            ServiceSpec::new("cache").optional(),
            ServiceSpec::new("warmer").optional().requires("cache"),
            ServiceSpec::new("http"),
        ],
    );
    app.service("cache").set_start(Step::Fail);
    app.service("http").set_start(Step::After(SEC));
    let report = app.lifecycle.start().await.unwrap();
    assert!(!report.is_complete());
    let state = |name: &str| app.lifecycle.snapshot().service(name).unwrap().state;
    assert_eq!(state("cache"), ServiceState::Failed);
    assert_eq!(state("warmer"), ServiceState::Skipped);
    assert_eq!(state("http"), ServiceState::Running);
}

#[tokio::test(start_paused = true)]
async fn time_limit_of_the_whole_names_what_has_been_starting_for_the_longest() {
    let spec = |name| ServiceSpec::new(name).start_timeout(100 * SEC);
    let app = parallel_app(2, [spec("a"), spec("b"), spec("c"), spec("d")]);
    app.service("a").set_start(Step::After(SEC));
    for name in ["b", "c", "d"] {
        app.service(name).set_start(Step::Hang);
    }
    let outcome = app.lifecycle.start().await;
    let Err(StartError::TimedOut {
        service, rollback, ..
    }) = outcome
    else {
        panic!("another outcome: {outcome:?}");
    };
    assert_eq!(&*service, "b");
    assert_eq!(stopped(&rollback), ["c", "b", "a"]);
}

#[test]
fn no_start_at_a_time_is_refused() {
    let outcome = Lifecycle::builder().parallel_starts(0).build();
    assert_eq!(
        outcome.expect_err("zero").to_string(),
        "`parallel_starts` is zero"
    );
}
