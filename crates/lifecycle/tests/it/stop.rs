use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt;
use steadfast_lifecycle::{
    CANCEL_GRACE, Health, Lifecycle, Service, ServiceError, ServiceSpec, ServiceState,
    StartContext, StartError, Status, StopContext, StopError,
    test_util::{Event, Step},
};
use tokio::{join, time::Instant};

use crate::support::{MS, SEC, names, stopped, web_app};

#[expect(clippy::disallowed_methods, reason = "reads tokio's paused time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn stop_is_in_reverse_and_past_errors_panics_and_hangs() {
    let app = web_app();
    app.service("http").set_stop(Step::Hang);
    app.service("cache").set_stop(Step::Panic);
    app.service("database").set_stop(Step::Fail);
    app.lifecycle.start().await.unwrap();
    let error = app.lifecycle.stop().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not every service stopped cleanly: `http` failed (timed out after 10s), \
         `cache` failed (panicked: stop failed as scripted), \
         `database` failed (stop failed as scripted)"
    );
    assert_eq!(names(&app.journal.stops()), ["http", "cache", "database"]);
    assert_eq!(app.lifecycle.snapshot().status, Status::Stopped);
}

#[tokio::test(start_paused = true)]
async fn concurrent_stops_join_and_a_later_one_repeats_the_report() {
    let app = web_app();
    app.service("cache").set_stop(Step::After(SEC));
    app.lifecycle.start().await.unwrap();
    let (a, b) = join!(app.lifecycle.stop(), app.lifecycle.stop());
    let c = app.lifecycle.stop().await;
    for report in [a, b, c] {
        assert_eq!(stopped(&report.unwrap()), ["http", "cache", "database"]);
    }
    assert_eq!(app.journal.stops().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn stop_before_any_start_is_empty() {
    let app = web_app();
    assert!(app.lifecycle.stop().await.unwrap().services.is_empty());
}

#[tokio::test(start_paused = true)]
async fn stop_during_start_cancels_rolls_back_and_joins() {
    let app = web_app();
    app.service("cache").set_start(Step::AwaitCancel);
    let (start, stop) = join!(app.lifecycle.start(), async {
        app.until(|now| now.service("cache").unwrap().state == ServiceState::Starting)
            .await;
        let begun = now();
        let outcome = app.lifecycle.stop().await;
        assert_eq!(
            begun.elapsed(),
            Duration::ZERO,
            "a start that listens ends at once"
        );
        outcome
    });
    let Err(StartError::Stopped { rollback }) = start else {
        panic!("another outcome: {start:?}");
    };
    assert_eq!(stopped(&rollback), ["cache", "database"]);
    assert_eq!(stopped(&stop.unwrap()), ["cache", "database"]);
    assert_eq!(names(&app.journal.starts()), ["database", "cache"]);
}

#[tokio::test(start_paused = true)]
async fn start_that_ignores_its_token_is_dropped_after_the_grace() {
    let app = web_app();
    app.service("cache").set_start(Step::Hang);
    let (_, ()) = join!(app.lifecycle.start(), async {
        app.until(|now| now.service("cache").unwrap().state == ServiceState::Starting)
            .await;
        let begun = now();
        app.lifecycle.stop().await.unwrap();
        assert_eq!(begun.elapsed(), CANCEL_GRACE);
    });
}

#[tokio::test(start_paused = true)]
async fn start_during_a_stop_waits_for_its_end_and_starts_anew() {
    let app = web_app();
    app.service("database").set_stop(Step::After(SEC));
    app.lifecycle.start().await.unwrap();
    let (stop, start) = join!(app.lifecycle.stop(), async {
        tokio::time::sleep(10 * MS).await;
        app.lifecycle.start().await
    });
    assert!(stop.is_ok() && start.is_ok());
    let database: Arc<str> = "database".into();
    let events: Vec<_> = app
        .journal
        .events()
        .into_iter()
        .filter(|event| {
            matches!(event, Event::Stopped(name) | Event::StartEntered(name) if *name == database)
        })
        .collect();
    assert_eq!(
        events,
        [
            Event::StartEntered(Arc::clone(&database)),
            Event::Stopped(Arc::clone(&database)),
            Event::StartEntered(database),
        ]
    );
    assert_eq!(app.lifecycle.snapshot().status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn dropped_stop_goes_on() {
    let app = web_app();
    app.service("http").set_stop(Step::After(SEC));
    app.lifecycle.start().await.unwrap();
    let dropped = tokio::time::timeout(10 * MS, app.lifecycle.stop()).await;
    assert!(dropped.is_err());
    app.until(|now| now.status == Status::Stopped).await;
    assert_eq!(names(&app.journal.stops()), ["http", "cache", "database"]);
}

#[test]
fn runtime_that_shuts_down_is_an_error_and_not_a_hang() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let app = web_app();
    runtime().block_on(app.lifecycle.start()).unwrap();
    let outcome = runtime().block_on(app.lifecycle.stop());
    assert!(matches!(outcome, Err(StopError::RuntimeGone)));
}

/// Asks for a stop in the middle of its start, which succeeds.
#[derive(Default)]
struct Stopper {
    app: OnceLock<Arc<Lifecycle>>,
}

#[async_trait]
impl Service for Stopper {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("stopper")
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        let app = self.app.get().expect("it is set");
        assert!(app.stop().now_or_never().is_none());
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}

#[tokio::test(start_paused = true)]
async fn stop_during_the_last_start_gives_up_the_start_of_the_whole() {
    let stopper = Arc::new(Stopper::default());
    let app = Lifecycle::builder().service(Arc::clone(&stopper) as _);
    let app = Arc::new(app.build().unwrap());
    stopper.app.set(Arc::clone(&app)).expect("it is set once");
    let outcome = app.start().await;
    let Err(StartError::Stopped { rollback }) = outcome else {
        panic!("another outcome: {outcome:?}");
    };
    assert_eq!(stopped(&rollback), ["stopper"]);
}
