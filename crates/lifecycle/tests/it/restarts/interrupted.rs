//! Restarts that something comes in between of.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use steadfast_lifecycle::{
    CANCEL_GRACE, FailureReporter, Health, Lifecycle, RestartPolicy, Service, ServiceError,
    ServiceSpec, ServiceState, StartContext, Status, StopContext,
    test_util::{Journal, ScriptedService, Step},
};
use tokio::time::sleep;

use super::{ALL_AGAIN, TWICE, now, restarts, since, state, until, web_app};
use crate::support::{App, MS, SEC, app, names, stopped};

/// An application whose database has just failed.
async fn failing() -> App {
    let app = web_app();
    app.lifecycle.start().await.expect("all work");
    app.service("database").report_failure("disk is gone");
    app
}

/// How long a stop takes, and what it stopped.
async fn stop(app: &App) -> (Duration, Vec<String>) {
    let begun = now();
    let report = app.lifecycle.stop().await.expect("all work");
    let names = stopped(&report).into_iter().map(str::to_owned).collect();
    assert_eq!(app.lifecycle.snapshot().status, Status::Stopped);
    assert_eq!(app.journal.starts().len(), app.journal.stops().len());
    (begun.elapsed(), names)
}

#[tokio::test(start_paused = true)]
async fn stop_during_the_backoff_ends_it_at_once() {
    for _ in 0..20 {
        let app = failing().await;
        until(&app, "database", ServiceState::Restarting).await;
        let database: Arc<str> = "database".into();
        while app.journal.stops().last() != Some(&database) {
            tokio::task::yield_now().await;
        }
        // Only a delay below the granularity of the timer would be over by now.
        assert_eq!(stop(&app).await, (Duration::ZERO, Vec::new()));
        for name in ["database", "http"] {
            assert_eq!(state(&app, name), ServiceState::Stopped);
        }
        let before = app.journal.starts().len();
        sleep(60 * SEC).await;
        assert_eq!(app.journal.starts().len(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn stop_during_the_start_of_a_restart_gives_it_up() {
    for (step, takes) in [
        (Step::AwaitCancel, Duration::ZERO),
        (Step::Hang, CANCEL_GRACE),
    ] {
        let app = failing().await;
        app.service("database").set_start(step);
        until(&app, "database", ServiceState::Starting).await;
        assert_eq!(stop(&app).await, (takes, vec!["database".to_owned()]));
        assert_eq!(state(&app, "database"), ServiceState::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn stop_during_the_stop_of_a_restart_waits_for_it_and_goes_on_with_the_others() {
    let app = web_app();
    app.service("http").set_stop(Step::After(5 * SEC));
    app.lifecycle.start().await.unwrap();
    app.service("database").report_failure("disk is gone");
    until(&app, "http", ServiceState::Restarting).await;
    sleep(3 * SEC).await;
    assert_eq!(names(&app.journal.stops()), ["http"]);
    let all = ["http", "cache", "database"].map(str::to_owned).to_vec();
    assert_eq!(stop(&app).await, (2 * SEC, all));
    assert_eq!(names(&app.journal.stops()), ["http", "cache", "database"]);
}

#[tokio::test(start_paused = true)]
async fn failure_that_is_reported_while_the_service_is_stopped_has_no_effect() {
    let app = web_app();
    app.service("http").set_stop(Step::After(5 * SEC));
    app.lifecycle.start().await.unwrap();
    app.service("database").report_failure("disk is gone");
    until(&app, "http", ServiceState::Restarting).await;
    sleep(SEC).await;
    app.service("http").report_failure("no database");
    app.until(|now| now.status == Status::Running).await;
    sleep(60 * SEC).await;
    assert_eq!((restarts(&app, "database"), restarts(&app, "http")), (1, 0));
    let snapshot = app.lifecycle.snapshot();
    assert_eq!(snapshot.service("http").unwrap().last_error, None);

    // And in the stop of the whole.
    let (outcome, ()) = tokio::join!(app.lifecycle.stop(), async {
        app.until(|now| now.status == Status::Stopping).await;
        app.service("database").report_failure("too late");
    });
    assert!(outcome.unwrap().is_clean());
    assert_eq!(state(&app, "database"), ServiceState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn of_failures_at_once_that_of_the_dependency_counts() {
    for order in [["http", "database"], ["database", "http"]] {
        let app = web_app();
        app.lifecycle.start().await.unwrap();
        for name in order {
            app.service(name).report_failure("disk is gone");
        }
        until(&app, "database", ServiceState::Restarting).await;
        app.until(|now| now.status == Status::Running).await;
        assert_eq!((restarts(&app, "database"), restarts(&app, "http")), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn failures_of_independent_services_at_once_restart_both() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    let before = app.journal.events().len();
    app.service("cache").report_failure("evicted");
    app.service("http").report_failure("port is gone");
    until(&app, "http", ServiceState::Restarting).await;
    app.until(|now| now.status == Status::Running).await;
    assert_eq!((restarts(&app, "cache"), restarts(&app, "http")), (1, 1));
    assert_eq!(since(&app, before).len(), 8, "each once");
}

#[tokio::test(start_paused = true)]
async fn dependency_that_fails_during_the_start_of_a_restart_takes_the_dependant_down() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    app.service("http").set_start(Step::AwaitCancel);
    app.service("http").report_failure("port is gone");
    until(&app, "http", ServiceState::Starting).await;
    app.service("http").set_start(Step::Succeed);
    let before = app.journal.events().len();
    app.service("database").report_failure("disk is gone");
    until(&app, "database", ServiceState::Restarting).await;
    app.until(|now| now.status == Status::Running).await;
    assert_eq!(since(&app, before), ALL_AGAIN);
    assert_eq!((restarts(&app, "database"), restarts(&app, "http")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn dependency_that_fails_during_the_backoff_is_up_again_before_the_dependant() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    app.service("http").report_failure("port is gone");
    until(&app, "http", ServiceState::Restarting).await;
    app.service("database").set_stop(Step::After(5 * SEC));
    app.service("database").report_failure("disk is gone");
    until(&app, "database", ServiceState::Restarting).await;
    sleep(4 * SEC).await;
    assert_ne!(state(&app, "http"), ServiceState::Running);
    app.until(|now| now.status == Status::Running).await;
    let starts = app.journal.starts();
    let last: Vec<_> = names(&starts).split_off(starts.len() - 3);
    assert_eq!(last, ["database", "cache", "http"]);
}

#[tokio::test(start_paused = true)]
async fn start_that_ignores_its_token_holds_up_the_failed_dependency_no_longer_than_the_grace() {
    let app = web_app();
    app.lifecycle.start().await.unwrap();
    app.service("http").set_start(Step::Hang);
    app.service("http").report_failure("port is gone");
    until(&app, "http", ServiceState::Starting).await;
    app.service("http").set_start(Step::Succeed);
    let begun = now();
    app.service("database").report_failure("disk is gone");
    let database: Arc<str> = "database".into();
    while app.journal.stops().last() != Some(&database) {
        sleep(MS).await;
    }
    assert!(begun.elapsed() <= CANCEL_GRACE + 2 * MS);
}

#[tokio::test(start_paused = true)]
async fn restart_that_is_due_when_the_stop_begins_is_not_begun() {
    let app = app([
        ServiceSpec::new("http").wants("cache"),
        ServiceSpec::new("cache").optional().restart(TWICE),
        ServiceSpec::new("late"),
    ]);
    app.service("late").set_start(Step::After(5 * SEC));
    let stop = async {
        sleep(SEC).await;
        app.service("cache").report_failure("evicted");
        // The moment at which the start is complete and the restart would begin.
        sleep(4 * SEC).await;
        app.lifecycle.stop().await
    };
    let (_, stop) = tokio::join!(app.lifecycle.start(), stop);
    let report = stop.unwrap();
    assert_eq!(stopped(&report), ["late", "http", "cache"]);
}

/// Answers probes only when it is told to, and keeps its reporters.
#[derive(Default)]
struct Slow {
    reporters: Mutex<Vec<FailureReporter>>,
    answer: tokio::sync::Notify,
}

#[async_trait]
impl Service for Slow {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("slow").requires("base").restart(TWICE)
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let mut reporters = self.reporters.lock().expect("no panic");
        reporters.push(cx.failure_reporter());
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn health(&self) -> Health {
        self.answer.notified().await;
        Health::unhealthy("as asked")
    }
}

/// `slow` and what it requires.
fn slow() -> (Arc<Slow>, Arc<ScriptedService>, Lifecycle) {
    let slow = Arc::new(Slow::default());
    let spec = ServiceSpec::new("base").restart(TWICE);
    let base = Arc::new(ScriptedService::new(spec, &Journal::default()));
    let app = Lifecycle::builder()
        .service(Arc::clone(&slow) as _)
        .service(Arc::clone(&base) as _)
        .probe_interval(600 * SEC)
        .probe_timeout(300 * SEC)
        .build();
    (slow, base, app.expect("a sound graph"))
}

#[tokio::test(start_paused = true)]
async fn report_of_an_earlier_start_does_not_touch_a_later_one() {
    let (slow, base, app) = slow();
    let report = |start: usize| {
        let reporter = slow.reporters.lock().unwrap()[start].clone();
        reporter.failed(ServiceError::transient("broken"));
    };
    let restarts = || app.snapshot().service("slow").unwrap().restarts;
    app.start().await.unwrap();
    base.report_failure("broken");
    sleep(10 * SEC).await;
    report(0);
    sleep(10 * SEC).await;
    assert_eq!(slow.reporters.lock().unwrap().len(), 2);
    assert_eq!(restarts(), 0);

    report(1);
    sleep(10 * SEC).await;
    assert_eq!(restarts(), 1);
    report(1);
    sleep(10 * SEC).await;
    assert_eq!(restarts(), 1);
    report(2);
    sleep(10 * SEC).await;
    assert_eq!(restarts(), 2);
    assert_eq!(app.snapshot().status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn probe_of_an_earlier_start_does_not_touch_a_later_one() {
    let (slow, base, app) = slow();
    app.start().await.unwrap();
    sleep(MS).await;
    base.report_failure("broken");
    sleep(10 * SEC).await;
    assert_eq!(slow.reporters.lock().unwrap().len(), 2);
    slow.answer.notify_one();
    sleep(10 * SEC).await;
    assert_eq!(app.snapshot().status, Status::Running);
}

/// Is restarted at once, and answers a probe no sooner than it is stopped.
#[derive(Default)]
struct Late {
    reporter: OnceLock<FailureReporter>,
    answer: tokio::sync::Notify,
}

#[async_trait]
impl Service for Late {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("late").restart(RestartPolicy::OnFailure {
            initial_delay: Duration::from_nanos(1),
            max_delay: Duration::from_nanos(1),
            max_restarts: 1,
            within: SEC,
        })
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        self.reporter.get_or_init(|| cx.failure_reporter());
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.answer.notify_waiters();
        Ok(())
    }

    async fn health(&self) -> Health {
        self.answer.notified().await;
        Health::unhealthy("stopped")
    }
}

#[tokio::test(start_paused = true)]
async fn probe_that_answers_with_the_stop_does_not_touch_the_next_start() {
    // The delay is none in every second round or so.
    for _ in 0..50 {
        let late = Arc::new(Late::default());
        let app = Lifecycle::builder()
            .service(Arc::clone(&late) as _)
            .probe_interval(600 * SEC)
            .probe_timeout(300 * SEC)
            .build()
            .unwrap();
        app.start().await.unwrap();
        sleep(MS).await;
        let reporter = late.reporter.get().unwrap();
        reporter.failed(ServiceError::transient("broken"));
        sleep(SEC).await;
        let service = app.snapshot().services[0].clone();
        assert_eq!(
            (service.state, service.restarts),
            (ServiceState::Running, 1)
        );
    }
}
