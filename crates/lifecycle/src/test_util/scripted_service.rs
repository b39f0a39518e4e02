use std::{
    future::pending,
    panic::resume_unwind,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::sleep;

use crate::{
    FailureReporter, Health, Service, ServiceError, ServiceSpec, StartContext, StopContext,
};

/// What a [`ScriptedService`] does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Returns at once.
    Succeed,
    /// Returns after a while.
    After(Duration),
    /// Returns an error.
    Fail,
    /// Panics (without a message on the terminal).
    Panic,
    /// Never returns.
    Hang,
    /// Returns an error once its token is cancelled; a stop has no token and never returns.
    AwaitCancel,
}

/// What happened to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its start was entered.
    StartEntered(Arc<str>),
    /// Its start returned without an error.
    Started(Arc<str>),
    /// Its stop was entered.
    StopEntered(Arc<str>),
    /// Its stop returned without an error.
    Stopped(Arc<str>),
}

/// What happened to all services that write to it, in order.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    events: Arc<Mutex<Vec<Event>>>,
}

impl Journal {
    /// Everything so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// The names of the services whose start was entered, in that order.
    #[must_use]
    pub fn starts(&self) -> Vec<Arc<str>> {
        self.names(|event| match event {
            Event::StartEntered(name) => Some(name),
            _ => None,
        })
    }

    /// The names of the services whose stop was entered, in that order.
    #[must_use]
    pub fn stops(&self) -> Vec<Arc<str>> {
        self.names(|event| match event {
            Event::StopEntered(name) => Some(name),
            _ => None,
        })
    }

    fn names(&self, pick: impl Fn(&Event) -> Option<&Arc<str>>) -> Vec<Arc<str>> {
        self.lock().iter().filter_map(pick).cloned().collect()
    }

    fn push(&self, event: Event) {
        self.lock().push(event);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that does as it is told and writes down what happens to it.
#[derive(Debug)]
pub struct ScriptedService {
    spec: ServiceSpec,
    journal: Journal,
    script: Mutex<Script>,
}

#[derive(Debug)]
struct Script {
    start: Step,
    stop: Step,
    probe: Step,
    health: Health,
    reporter: Option<FailureReporter>,
    probes: u64,
}

impl ScriptedService {
    /// A healthy service that starts and stops at once.
    #[must_use]
    pub fn new(spec: ServiceSpec, journal: &Journal) -> Self {
        Self {
            spec,
            journal: journal.clone(),
            script: Mutex::new(Script {
                start: Step::Succeed,
                stop: Step::Succeed,
                probe: Step::Succeed,
                health: Health::healthy(),
                reporter: None,
                probes: 0,
            }),
        }
    }

    /// Sets what a start does.
    pub fn set_start(&self, step: Step) -> &Self {
        self.with(|script| script.start = step);
        self
    }

    /// Sets what a stop does.
    pub fn set_stop(&self, step: Step) -> &Self {
        self.with(|script| script.stop = step);
        self
    }

    /// Sets what a health probe does before it answers.
    pub fn set_probe(&self, step: Step) -> &Self {
        self.with(|script| script.probe = step);
        self
    }

    /// Sets what a health probe answers.
    pub fn set_health(&self, health: Health) -> &Self {
        self.with(|script| script.health = health);
        self
    }

    /// Reports, as the service that was last started, that it has failed with something that may
    /// pass.
    pub fn report_failure(&self, message: &str) {
        self.report(ServiceError::transient(message));
    }

    /// Reports, as the service that was last started, that it has failed.
    pub fn report(&self, error: ServiceError) {
        if let Some(reporter) = self.with(|script| script.reporter.clone()) {
            reporter.failed(error);
        }
    }

    /// How many health probes there have been.
    #[must_use]
    pub fn probes(&self) -> u64 {
        self.with(|script| script.probes)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Script) -> R) -> R {
        f(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Service for ScriptedService {
    fn spec(&self) -> ServiceSpec {
        self.spec.clone()
    }

    async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
        let name = &self.spec.name;
        self.journal.push(Event::StartEntered(Arc::clone(name)));
        self.with(|script| script.reporter = Some(cx.failure_reporter()));
        let step = self.with(|script| script.start);
        if step == Step::AwaitCancel {
            cx.cancellation().cancelled().await;
            return Err(ServiceError::transient("start was cancelled"));
        }
        perform(step, "start failed as scripted").await?;
        self.journal.push(Event::Started(Arc::clone(name)));
        Ok(())
    }

    async fn stop(&self, _cx: StopContext) -> Result<(), ServiceError> {
        let name = &self.spec.name;
        self.journal.push(Event::StopEntered(Arc::clone(name)));
        perform(self.with(|script| script.stop), "stop failed as scripted").await?;
        self.journal.push(Event::Stopped(Arc::clone(name)));
        Ok(())
    }

    async fn health(&self) -> Health {
        self.with(|script| script.probes += 1);
        match perform(self.with(|script| script.probe), "probe failed as scripted").await {
            Ok(()) => self.with(|script| script.health.clone()),
            Err(error) => Health::unhealthy(error.to_string()),
        }
    }
}

async fn perform(step: Step, failure: &'static str) -> Result<(), ServiceError> {
    match step {
        Step::Succeed => Ok(()),
        Step::After(delay) => {
            sleep(delay).await;
            Ok(())
        }
        Step::Fail => Err(ServiceError::transient(failure)),
        // Does not run the panic hook, so that thousands of them in a property test are quiet.
        Step::Panic => resume_unwind(Box::new(failure)),
        Step::Hang | Step::AwaitCancel => pending().await,
    }
}
