use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    LifecycleBuilder, LifecycleHandle, Snapshot, StartError, StartReport, StopError, StopReport,
    board::Board,
    graph::Graph,
    run::{Limits, Run},
};

/// Starts an application's services in the order of their dependencies, watches over them and
/// stops them in reverse.
///
/// Each start begins a *run*, a task that the lifecycle owns; it ends when everything that was
/// entered is stopped again. Dropping the lifecycle aborts it, without stopping the services.
#[derive(Debug)]
pub struct Lifecycle {
    graph: Arc<Graph>,
    board: Board,
    limits: Limits,
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    last: Option<Run>,
    tasks: JoinSet<()>,
}

impl Lifecycle {
    /// A lifecycle without services and with the default limits.
    #[must_use]
    pub fn builder() -> LifecycleBuilder {
        LifecycleBuilder::new()
    }

    pub(crate) fn new(graph: Graph, board: Board, limits: Limits) -> Self {
        let services = graph.nodes.iter();
        board.list(services.map(|node| (Arc::clone(&node.spec.name), node.spec.required)));
        Self {
            graph: Arc::new(graph),
            board,
            limits,
            runs: Mutex::default(),
        }
    }

    /// Starts every service; returns when all are up or the start has been rolled back.
    ///
    /// Calls during a start join it and share its outcome; calls while the application is up
    /// return the outcome of its start; calls during a stop wait for its end and start anew.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the start running, for others may have joined it; call
    /// [`stop`](Self::stop) to give it up.
    ///
    /// # Errors
    ///
    /// [`StartError`], after everything that had been entered has been stopped again.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    pub async fn start(&self) -> Result<StartReport, StartError> {
        self.begin().await.started().await
    }

    /// Stops every service whose start was entered, the last first, without a drain.
    ///
    /// Gives up a start that is at work. Joins a stop that is at work; returns the last report if
    /// everything is stopped already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the stop running.
    ///
    /// # Errors
    ///
    /// [`StopError`] if a service did not stop cleanly; all others have been stopped none the
    /// less.
    pub async fn stop(&self) -> Result<StopReport, StopError> {
        let Some(run) = self.runs().last.clone() else {
            return Ok(StopReport::default());
        };
        run.stop.cancel();
        match run.ended().await {
            Some(ending) => clean(ending.stop),
            None => Err(StopError::RuntimeGone),
        }
    }

    /// How the application is now; never waits for a service.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.board.handle.snapshot()
    }

    /// The snapshot as it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.board.handle.subscribe()
    }

    /// A cheap view of this lifecycle, to pass around.
    #[must_use]
    pub fn handle(&self) -> LifecycleHandle {
        self.board.handle.clone()
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// The run at work, or a new one.
    pub(crate) async fn begin(&self) -> Run {
        loop {
            let stopping = {
                let mut runs = self.runs();
                match &runs.last {
                    Some(run) if run.has_ended() => return self.spawn(&mut runs),
                    Some(run) if run.stop.is_cancelled() => run.clone(),
                    Some(run) => return run.clone(),
                    None => return self.spawn(&mut runs),
                }
            };
            stopping.ended().await;
        }
    }

    fn spawn(&self, runs: &mut Runs) -> Run {
        while runs.tasks.try_join_next().is_some() {}
        let (run, task) = Run::new(Arc::clone(&self.graph), self.board.clone(), self.limits);
        runs.tasks.spawn(task);
        runs.last = Some(run.clone());
        run
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Partial failure is failure.
pub(crate) fn clean(report: StopReport) -> Result<StopReport, StopError> {
    if report.is_clean() {
        Ok(report)
    } else {
        Err(StopError::ServicesFailed { report })
    }
}
