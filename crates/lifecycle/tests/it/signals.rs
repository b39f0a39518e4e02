use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_lifecycle::{
    FailureReporter, Health, Lifecycle, RunError, Service, ServiceError, ServiceSpec, ServiceState,
    Signal, StartContext, StartError, Status, StopContext, StopReport,
    test_util::{ManualSignals, SignalSender, Step},
};
use tokio::{join, time::sleep};

use crate::support::{App, MS, SEC, names, stopped, web_app};

const DRAIN: Duration = Duration::from_secs(20);

/// Runs the application beside `operator`.
async fn run<F: Future>(
    app: &App,
    operator: impl FnOnce(SignalSender) -> F,
) -> Result<StopReport, RunError> {
    let (sender, mut signals) = ManualSignals::new();
    join!(
        app.lifecycle.run_until_stopped_by(&mut signals, DRAIN),
        operator(sender)
    )
    .0
}

#[tokio::test(start_paused = true)]
async fn first_signal_flips_readiness_at_once_serves_for_the_drain_and_stops_in_reverse() {
    let app = web_app();
    let report = run(&app, async |signals| {
        app.until(|now| now.is_ready()).await;
        signals.raise(Signal::Terminate);
        sleep(10 * MS).await;
        let snapshot = app.lifecycle.snapshot();
        assert_eq!(snapshot.status, Status::Draining);
        assert!(snapshot.is_draining() && snapshot.is_live() && !snapshot.is_ready());

        sleep(DRAIN - 11 * MS).await;
        assert!(app.journal.stops().is_empty());
        sleep(2 * MS).await;
        assert_eq!(app.journal.stops().len(), 3);
    })
    .await
    .unwrap();
    assert_eq!(stopped(&report), ["http", "cache", "database"]);
}

#[tokio::test(start_paused = true)]
async fn second_signal_skips_the_drain() {
    let app = web_app();
    let report = run(&app, async |signals| {
        app.until(|now| now.is_ready()).await;
        signals.raise(Signal::Interrupt);
        sleep(SEC).await;
        signals.raise(Signal::Terminate);
        sleep(MS).await;
        assert_eq!(app.lifecycle.snapshot().status, Status::Stopped);
    })
    .await;
    assert!(report.is_ok());
}

#[tokio::test(start_paused = true)]
async fn third_signal_ends_the_wait_with_128_plus_n() {
    for (signal, code) in [(Signal::Interrupt, 130), (Signal::Terminate, 143)] {
        let app = web_app();
        app.service("cache").set_stop(Step::Hang);
        let error = run(&app, async |signals| {
            app.until(|now| now.is_ready()).await;
            signals.raise(Signal::Terminate);
            signals.raise(Signal::Terminate);
            app.until(|now| now.service("cache").unwrap().state == ServiceState::Stopping)
                .await;
            signals.raise(signal);
        })
        .await
        .unwrap_err();
        assert_eq!(error.exit_code(), code);
        assert_eq!(
            error.to_string(),
            format!("{signal} ended the stop before it was complete")
        );
        assert_eq!(names(&app.journal.stops()), ["http", "cache"]);
    }
}

#[tokio::test(start_paused = true)]
async fn signal_during_the_start_gives_it_up_without_a_drain() {
    let app = web_app();
    app.service("cache").set_start(Step::AwaitCancel);
    let report = run(&app, async |signals| {
        app.until(|now| now.service("cache").unwrap().state == ServiceState::Starting)
            .await;
        signals.raise(Signal::Terminate);
        sleep(MS).await;
        assert_eq!(app.lifecycle.snapshot().status, Status::Stopped);
    })
    .await
    .unwrap();
    assert_eq!(stopped(&report), ["cache", "database"]);
}

#[tokio::test(start_paused = true)]
async fn signal_raised_before_the_first_start_is_not_lost() {
    let app = web_app();
    let (sender, mut signals) = ManualSignals::new();
    sender.raise(Signal::Terminate);
    let report = app
        .lifecycle
        .run_until_stopped_by(&mut signals, DRAIN)
        .await
        .unwrap();
    assert!(report.services.is_empty());
}

#[tokio::test(start_paused = true)]
async fn requested_stop_drains_and_does_not_count_as_a_signal() {
    let app = web_app();
    let report = run(&app, async |signals| {
        app.until(|now| now.is_ready()).await;
        app.lifecycle.handle().request_stop();
        app.lifecycle.handle().request_stop();
        sleep(SEC).await;
        signals.raise(Signal::Terminate);
        sleep(SEC).await;
        assert_eq!(app.lifecycle.snapshot().status, Status::Draining);
    })
    .await;
    assert!(report.is_ok());
}

#[tokio::test(start_paused = true)]
async fn requested_stop_ends_one_run_and_not_the_next() {
    let app = web_app();
    app.lifecycle.handle().request_stop();
    assert!(run(&app, async |_| ()).await.is_ok());

    let second = tokio::time::timeout(60 * SEC, run(&app, async |_| ())).await;
    assert!(
        second.is_err(),
        "the second run was asked to stop by no one"
    );
    assert_eq!(app.lifecycle.snapshot().status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn stop_called_by_hand_ends_the_run() {
    let app = web_app();
    let report = run(&app, async |_| {
        app.until(|now| now.is_ready()).await;
        app.lifecycle.stop().await.unwrap();
    })
    .await
    .unwrap();
    assert_eq!(stopped(&report), ["http", "cache", "database"]);
}

#[tokio::test(start_paused = true)]
async fn required_service_that_fails_at_work_stops_the_app_with_its_name() {
    let app = web_app();
    let error = run(&app, async |_| {
        app.until(|now| now.is_ready()).await;
        app.service("database").report_failure("disk is gone");
        app.service("http").report_failure("and so am I");
    })
    .await
    .unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert_eq!(
        error.to_string(),
        "required service `database` failed; stopped: `http` stopped, `cache` stopped, \
         `database` stopped"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "disk is gone");
}

#[tokio::test(start_paused = true)]
async fn start_while_a_failure_stops_the_app_starts_anew_after_it() {
    let app = web_app();
    app.service("http").set_stop(Step::After(SEC));
    app.lifecycle.start().await.unwrap();
    app.service("database").report_failure("disk is gone");
    app.until(|now| now.status == Status::Stopping).await;
    app.lifecycle.start().await.unwrap();
    assert_eq!(app.lifecycle.snapshot().status, Status::Running);
    assert_eq!(app.journal.starts().len(), 6);
    assert_eq!(app.journal.stops().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn next_start_is_no_longer_draining() {
    let app = web_app();
    app.lifecycle.handle().request_stop();
    assert!(run(&app, async |_| ()).await.is_ok());
    assert!(app.lifecycle.snapshot().is_draining());
    app.lifecycle.start().await.unwrap();
    assert!(!app.lifecycle.snapshot().is_draining());
    assert_eq!(app.lifecycle.snapshot().status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn many_reports_of_one_service_leave_room_for_those_of_others() {
    let app = web_app();
    let error = run(&app, async |_| {
        app.until(|now| now.is_ready()).await;
        for _ in 0..100 {
            app.service("cache").report_failure("evicted");
        }
        app.service("database").report_failure("disk is gone");
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("`database` failed"));
}

#[tokio::test(start_paused = true)]
async fn report_of_an_earlier_run_does_not_touch_the_next() {
    let service = Arc::new(KeepsReporter::default());
    let app = Lifecycle::builder()
        .service(Arc::clone(&service) as _)
        .build()
        .unwrap();
    app.start().await.unwrap();
    app.stop().await.unwrap();
    app.start().await.unwrap();
    let first = service.reporters.lock().unwrap()[0].clone();
    first.failed(ServiceError::permanent("late"));
    sleep(SEC).await;
    assert_eq!(app.snapshot().status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn failed_start_ends_the_run_with_exit_code_1() {
    let app = web_app();
    app.service("database").set_start(Step::Panic);
    let error = run(&app, async |_| ()).await.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(matches!(
        error,
        RunError::Start {
            source: StartError::RequiredFailed { .. }
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn unclean_stop_ends_the_run_with_exit_code_1() {
    let app = web_app();
    app.service("http").set_stop(Step::Fail);
    app.lifecycle.handle().request_stop();
    app.lifecycle.start().await.unwrap();
    let error = run(&app, async |_| ()).await.unwrap_err();
    assert!(matches!(error, RunError::Stop { .. }));
    assert_eq!(error.exit_code(), 1);
}

#[derive(Default)]
struct KeepsReporter {
    reporters: Mutex<Vec<FailureReporter>>,
}

#[async_trait]
impl Service for KeepsReporter {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("a")
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        self.reporters
            .lock()
            .expect("no panic")
            .push(cx.failure_reporter());
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}
