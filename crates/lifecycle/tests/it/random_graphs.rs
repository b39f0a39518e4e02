//! Random graphs of services that fail, hang, panic, are restarted and are stopped at any moment.

use std::{future::Future, sync::Mutex, time::Duration};

use proptest::prelude::*;
use steadfast_lifecycle::{
    Signal, StartError, StartOutcome, Status,
    test_util::{ManualSignals, Step},
};
use tokio::{join, time::sleep};

use self::{
    check::{check, check_intensity, check_settled, restarts},
    plan::{Plan, build, index, plan, play},
};
use crate::support::{App, MS, SEC};

mod check;
mod plan;

fn in_virtual_time(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(test);
}

/// Lets befall the services what is planned beside `operator`, and checks the restarts.
async fn with_turns<T: Send>(
    plan: &Plan,
    app: &App,
    operator: impl Future<Output = T> + Send,
) -> T {
    let seen = Mutex::default();
    let outcome = tokio::select! {
        biased;
        () = restarts(app, plan, &seen) => unreachable!("it never returns"),
        (outcome, ()) = async { join!(operator, play(plan, app)) } => outcome,
    };
    check_intensity(plan, &seen.lock().expect("no panic"));
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn order_holds_and_each_entered_service_stops_once_whenever_it_is_stopped(plan in plan()) {
        in_virtual_time(async move {
            let app = build(&plan);
            let both = async { join!(app.lifecycle.start(), async {
                sleep(plan.stop_at).await;
                let _ = app.lifecycle.stop().await;
            })};
            let (outcome, ()) = with_turns(&plan, &app, both).await;
            check(&plan, &app).await;
            match outcome {
                Ok(report) => {
                    for start in &report.services {
                        let started = matches!(start.outcome, StartOutcome::Started);
                        assert!(started || plan.nodes[index(&start.name)].optional);
                    }
                }
                Err(
                    StartError::RequiredFailed { rollback, .. }
                    | StartError::TimedOut { rollback, .. }
                    | StartError::Stopped { rollback },
                ) => assert_eq!(rollback.services.len(), app.journal.starts().len()),
                Err(error) => panic!("another error: {error}"),
            }
        });
    }

    #[test]
    fn order_holds_and_each_entered_service_stops_once_whenever_it_is_signalled(plan in plan()) {
        in_virtual_time(async move {
            let app = build(&plan);
            let (sender, mut signals) = ManualSignals::new();
            let both = async { join!(
                app.lifecycle.run_until_stopped_by(&mut signals, 50 * MS),
                async {
                    sleep(plan.stop_at).await;
                    sender.raise(Signal::Terminate);
                    sleep(20 * MS).await;
                    sender.raise(Signal::Interrupt);
                },
            )};
            let (outcome, ()) = with_turns(&plan, &app, both).await;
            let exit_code = outcome.map_or_else(|error| error.exit_code(), |_| 0);
            assert!(exit_code <= 1);
            check(&plan, &app).await;
        });
    }

    #[test]
    fn what_can_be_up_is_up_once_nothing_fails_any_more(plan in plan()) {
        in_virtual_time(async move {
            let app = build(&plan);
            with_turns(&plan, &app, async {
                let _ = app.lifecycle.start().await;
                sleep(Duration::from_millis(700)).await;
                for service in &app.services {
                    service.set_start(Step::Succeed).set_stop(Step::Succeed);
                }
                sleep(10 * SEC).await;
            }).await;
            check_settled(&plan, &app);
            let _ = app.lifecycle.stop().await;
            check(&plan, &app).await;
        });
    }

    #[test]
    fn service_set_that_failed_starts_again_once_it_works(plan in plan()) {
        in_virtual_time(async move {
            let app = build(&plan);
            with_turns(&plan, &app, async {
                let _ = app.lifecycle.start().await;
                sleep(plan.stop_at).await;
                let _ = app.lifecycle.stop().await;
            }).await;
            for service in &app.services {
                service.set_start(Step::Succeed).set_stop(Step::Succeed);
            }
            assert!(app.lifecycle.start().await.expect("all work").is_complete());
            assert_eq!(app.lifecycle.snapshot().status, Status::Running);
            sleep(SEC).await;
            assert!(app.lifecycle.stop().await.expect("all work").is_clean());
        });
    }
}
