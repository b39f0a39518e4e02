//! Short ways to build applications of scripted services.

use std::{sync::Arc, time::Duration};

use steadfast_lifecycle::{
    Lifecycle, ServiceSpec, StopReport,
    test_util::{Journal, ScriptedService},
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SEC: Duration = Duration::from_secs(1);

pub(crate) struct App {
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) services: Vec<Arc<ScriptedService>>,
    pub(crate) journal: Journal,
}

/// An application of these services, all of which work.
pub(crate) fn app(specs: impl IntoIterator<Item = ServiceSpec>) -> App {
    parallel_app(1, specs)
}

/// The same with so many starts at once.
pub(crate) fn parallel_app(
    parallel_starts: usize,
    specs: impl IntoIterator<Item = ServiceSpec>,
) -> App {
    let journal = Journal::default();
    let services: Vec<_> = specs
        .into_iter()
        .map(|spec| Arc::new(ScriptedService::new(spec, &journal)))
        .collect();
    let mut builder = Lifecycle::builder()
        .start_timeout(60 * SEC)
        .parallel_starts(parallel_starts);
    for service in &services {
        builder = builder.service(Arc::clone(service) as _);
    }
    App {
        lifecycle: Arc::new(builder.build().expect("a sound graph")),
        services,
        journal,
    }
}

/// `database` <- `cache` (optional) and `database` <- `http`, which wants `cache`.
pub(crate) fn web_app() -> App {
    app([
        ServiceSpec::new("http").requires("database").wants("cache"),
        ServiceSpec::new("cache").requires("database").optional(),
        ServiceSpec::new("database"),
    ])
}

impl App {
    pub(crate) fn service(&self, name: &str) -> &ScriptedService {
        let named = |service: &&Arc<ScriptedService>| {
            *steadfast_lifecycle::Service::spec(&***service).name == *name
        };
        self.services.iter().find(named).expect("a known service")
    }

    /// Waits until the snapshot is as described.
    pub(crate) async fn until(
        &self,
        seen: impl FnMut(&Arc<steadfast_lifecycle::Snapshot>) -> bool,
    ) {
        self.lifecycle
            .subscribe()
            .wait_for(seen)
            .await
            .expect("the lifecycle is alive");
    }
}

pub(crate) fn names(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

pub(crate) fn stopped(report: &StopReport) -> Vec<&str> {
    report.services.iter().map(|stop| &*stop.name).collect()
}
