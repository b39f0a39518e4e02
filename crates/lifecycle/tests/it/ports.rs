use std::sync::Arc;

use mockall::Sequence;
use steadfast_lifecycle::{
    Lifecycle, MockService, MockSignalSource, ServiceError, ServiceSpec, Signal, StartError,
    test_util::{Journal, ManualSignals, ScriptedService, conformance},
};

use crate::support::{SEC, stopped};

fn mock(spec: ServiceSpec) -> MockService {
    let mut mock = MockService::new();
    mock.expect_spec().return_const(spec);
    mock
}

#[tokio::test(start_paused = true)]
async fn injected_start_failure_calls_the_stops_in_reverse_and_nothing_else() {
    let mut calls = Sequence::new();
    let mut database = mock(ServiceSpec::new("database"));
    let mut http = mock(ServiceSpec::new("http").requires("database"));
    database
        .expect_start()
        .once()
        .in_sequence(&mut calls)
        .returning(|_| Ok(()));
    http.expect_start()
        .once()
        .in_sequence(&mut calls)
        .returning(|_| Err(ServiceError::transient("port in use")));
    http.expect_stop()
        .once()
        .in_sequence(&mut calls)
        .returning(|_| Err(ServiceError::permanent("was never up")));
    database
        .expect_stop()
        .once()
        .in_sequence(&mut calls)
        .returning(|_| Ok(()));
    let app = Lifecycle::builder()
        .service(Arc::new(http))
        .service(Arc::new(database))
        .build()
        .unwrap();
    let error = app.start().await.unwrap_err();
    let StartError::RequiredFailed {
        service,
        fault,
        rollback,
    } = error
    else {
        panic!("another error: {error}");
    };
    assert_eq!((&*service, &*fault.to_string()), ("http", "port in use"));
    assert_eq!(stopped(&rollback), ["http", "database"]);
    assert!(!rollback.is_clean());
}

#[tokio::test(start_paused = true)]
async fn mocked_signal_stops_the_application() {
    let mut signals = MockSignalSource::new();
    signals.expect_next().once().return_const(Signal::Terminate);
    signals.expect_next().once().return_const(Signal::Terminate);
    signals.expect_next().return_const(Signal::Interrupt);
    let app = Lifecycle::builder().build().unwrap();
    let error = app
        .run_until_stopped_by(&mut signals, SEC)
        .await
        .unwrap_err();
    assert_eq!(error.exit_code(), 130);
}

#[tokio::test(start_paused = true)]
async fn scripted_service_conforms() {
    let spec = ServiceSpec::new("a");
    conformance::service(&ScriptedService::new(spec, &Journal::default())).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "first start must succeed")]
async fn conformance_suite_notices_a_service_that_does_not_start() {
    let service = ScriptedService::new(ServiceSpec::new("a"), &Journal::default());
    service.set_start(steadfast_lifecycle::test_util::Step::Hang);
    conformance::service(&service).await;
}

#[tokio::test(start_paused = true)]
async fn manual_signals_conform() {
    let (sender, mut signals) = ManualSignals::new();
    conformance::signal_source(&mut signals, &mut |signal| sender.raise(signal)).await;
}

#[cfg(unix)]
#[tokio::test]
async fn unix_signals_conform() {
    let mut signals = steadfast_lifecycle::UnixSignals::install().unwrap();
    conformance::signal_source(&mut signals, &mut |signal| {
        let kill = std::process::Command::new("kill")
            .arg(format!("-{}", signal.number()))
            .arg(std::process::id().to_string())
            .status();
        assert!(kill.unwrap().success());
    })
    .await;
}
