//! Failures that services report out of their own start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use steadfast_lifecycle::{
    FailureReporter, Health, Lifecycle, RestartPolicy, Service, ServiceError, ServiceSpec,
    ServiceState, StartContext, StartError, Status, StopContext,
    test_util::{Journal, ScriptedService},
};

use crate::support::{SEC, names};

/// Reports a failure in the start with this number, from zero, which returns well none the less.
struct Hasty {
    spec: ServiceSpec,
    reports_in: usize,
    /// Those of its starts.
    reporters: Mutex<Vec<FailureReporter>>,
}

impl Hasty {
    fn new(spec: ServiceSpec, reports_in: usize) -> Arc<Self> {
        Arc::new(Self {
            spec,
            reports_in,
            reporters: Mutex::default(),
        })
    }

    fn reporters(&self) -> MutexGuard<'_, Vec<FailureReporter>> {
        self.reporters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Service for Hasty {
    fn spec(&self) -> ServiceSpec {
        self.spec.clone()
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let mut reporters = self.reporters();
        if reporters.len() == self.reports_in {
            let error = ServiceError::transient("task is gone");
            cx.failure_reporter().failed(error);
        }
        reporters.push(cx.failure_reporter());
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}

/// `base`, which reports a failure out of its start, and `top`, which requires it.
fn pair(base: ServiceSpec, top: ServiceSpec, reports_in: usize) -> (Lifecycle, Journal) {
    let journal = Journal::default();
    let app = Lifecycle::builder()
        .service(Hasty::new(base, reports_in))
        .service(Arc::new(ScriptedService::new(
            top.requires("base"),
            &journal,
        )))
        .build();
    (app.expect("a sound graph"), journal)
}

#[tokio::test(start_paused = true)]
async fn required_service_that_reports_failure_in_its_own_start_ends_the_start_of_the_whole() {
    let spec = ServiceSpec::new("base");
    for app in [
        Lifecycle::builder()
            .service(Hasty::new(spec.clone(), 0))
            .build()
            .unwrap(),
        pair(spec, ServiceSpec::new("top"), 0).0,
    ] {
        let outcome = app.start().await;
        let Err(StartError::RequiredFailed { service, fault, .. }) = outcome else {
            panic!("another outcome: {outcome:?}");
        };
        assert_eq!((&*service, &*fault.to_string()), ("base", "task is gone"));
    }
}

#[tokio::test(start_paused = true)]
async fn dependants_of_a_service_that_reports_failure_in_its_own_start_are_not_entered() {
    let base = ServiceSpec::new("base").optional();
    let (app, journal) = pair(base, ServiceSpec::new("top").optional(), 0);
    app.start().await.unwrap();
    tokio::time::sleep(SEC).await;
    assert_eq!(names(&journal.starts()), [""; 0]);
    let snapshot = app.snapshot();
    let states = [0, 1].map(|index| snapshot.services[index].state);
    assert_eq!(states, [ServiceState::Failed, ServiceState::Skipped]);
}

#[tokio::test(start_paused = true)]
async fn dependants_are_not_entered_if_the_restarted_service_reports_failure_in_its_start() {
    let base = ServiceSpec::new("base").restart(RestartPolicy::on_failure());
    let journal = Journal::default();
    let hasty = Hasty::new(base, 1);
    let app = Lifecycle::builder()
        .service(Arc::clone(&hasty) as _)
        .service(Arc::new(ScriptedService::new(
            ServiceSpec::new("top").requires("base"),
            &journal,
        )))
        .build()
        .unwrap();
    app.start().await.unwrap();
    hasty.reporters()[0].failed(ServiceError::transient("disk is gone"));
    app.subscribe()
        .wait_for(|now| now.services[0].restarts == 2 && now.status == Status::Running)
        .await
        .unwrap();
    assert_eq!(names(&journal.starts()), ["top", "top"]);
}
