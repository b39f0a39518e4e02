//! Defects of the system that this one replaces, each made impossible.

use steadfast_lifecycle::{
    ServiceState, Signal, Status,
    test_util::{ManualSignals, Step},
};
use tokio::join;

use crate::support::{SEC, names, stopped, web_app};

#[tokio::test(start_paused = true)]
async fn row_10_shutdown_releases_everything_and_start_works_again() {
    let app = web_app();
    for round in 1..=3 {
        assert!(app.lifecycle.start().await.unwrap().is_complete());
        assert_eq!(app.lifecycle.snapshot().status, Status::Running);
        let report = app.lifecycle.stop().await.unwrap();
        assert_eq!(stopped(&report), ["http", "cache", "database"]);
        assert_eq!(app.lifecycle.snapshot().status, Status::Stopped);
        assert_eq!(app.journal.starts().len(), 3 * round);
        assert_eq!(app.journal.stops().len(), 3 * round);
    }
}

#[tokio::test(start_paused = true)]
async fn row_14_building_starts_nothing_and_the_status_is_the_truth() {
    let app = web_app();
    tokio::time::sleep(60 * SEC).await;
    assert!(app.journal.events().is_empty());
    let states = |app: &crate::support::App| {
        let snapshot = app.lifecycle.snapshot();
        let states: Vec<_> = snapshot.services.iter().map(|s| s.state).collect();
        (snapshot.status, states)
    };
    use ServiceState::{Pending, Running, Starting, Stopped};
    assert_eq!(states(&app), (Status::Stopped, vec![Stopped; 3]));

    app.service("database").set_start(Step::After(SEC));
    let (started, ()) = join!(app.lifecycle.start(), async {
        app.until(|now| now.status == Status::Starting).await;
        tokio::time::sleep(SEC / 2).await;
        let expected = vec![Pending, Pending, Starting];
        assert_eq!(states(&app), (Status::Starting, expected));
    });
    started.unwrap();
    assert_eq!(states(&app), (Status::Running, vec![Running; 3]));
    app.lifecycle.stop().await.unwrap();
    assert_eq!(states(&app), (Status::Stopped, vec![Stopped; 3]));
}

#[tokio::test(start_paused = true)]
async fn row_17_first_signal_drains_second_hurries_third_exits_and_the_database_closes_last() {
    let app = web_app();
    let (sender, mut signals) = ManualSignals::new();
    let run = app.lifecycle.run_until_stopped_by(&mut signals, 60 * SEC);
    let (outcome, ()) = join!(run, async {
        app.until(|now| now.is_ready()).await;
        sender.raise(Signal::Terminate);
        app.until(|now| now.status == Status::Draining).await;
        tokio::time::sleep(SEC).await;
        assert!(app.journal.stops().is_empty(), "the first drains");
        app.service("database").set_stop(Step::Hang);
        sender.raise(Signal::Terminate);
        app.until(|now| now.status == Status::Stopping).await;
        tokio::time::sleep(SEC).await;
        let stops = app.journal.stops();
        assert_eq!(
            names(&stops),
            ["http", "cache", "database"],
            "the second hurries"
        );
        sender.raise(Signal::Terminate);
    });
    assert_eq!(outcome.unwrap_err().exit_code(), 143, "the third exits");
}
