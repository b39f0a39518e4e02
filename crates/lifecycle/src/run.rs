use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Fault, StartError, StartReport, StopReport, board::Board, graph::Graph, runner::Runner,
};

/// The limits of a lifecycle as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) start_timeout: Duration,
    /// How many services may be starting at once.
    pub(crate) parallel_starts: usize,
    pub(crate) probe_interval: Duration,
    pub(crate) probe_timeout: Duration,
}

/// One run of the application, from its start to the end of its stop, as the outside sees it.
///
/// The run itself is a task ([`Runner`]) that alone owns what has been entered; everybody else
/// cancels `stop` and waits for a value.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) stop: CancellationToken,
    started: watch::Receiver<Option<Result<StartReport, StartError>>>,
    ended: watch::Receiver<Option<Ending>>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) cause: Cause,
    pub(crate) stop: StopReport,
}

/// Why a run ended.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    StopAsked,
    StartFailed(StartError),
    ServiceFailed {
        service: Arc<str>,
        restarts: u32,
        fault: Fault,
    },
}

impl Run {
    /// A new run and the future that is its task.
    pub(crate) fn new(
        graph: Arc<Graph>,
        board: Board,
        limits: Limits,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let stop = CancellationToken::new();
        let (started_tx, started) = watch::channel(None);
        let (ended_tx, ended) = watch::channel(None);
        // Here and not in the task: a signal that comes before its first poll must not be undone.
        board.begin();
        let runner = Runner::new(graph, board, limits, stop.clone());
        let task = runner.run(started_tx, ended_tx);
        let run = Self {
            stop,
            started,
            ended,
        };
        (run, task)
    }

    /// Waits for the outcome of the start.
    pub(crate) async fn started(&self) -> Result<StartReport, StartError> {
        match self
            .started
            .clone()
            .wait_for(Option::is_some)
            .await
            .as_deref()
        {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(StartError::RuntimeGone),
        }
    }

    /// Waits for the end of the stop; `None` if the runtime shut down before it.
    pub(crate) async fn ended(&self) -> Option<Ending> {
        match self
            .ended
            .clone()
            .wait_for(Option::is_some)
            .await
            .as_deref()
        {
            Ok(ending) => ending.clone(),
            Err(_) => None,
        }
    }

    /// Whether the start has succeeded.
    pub(crate) fn is_up(&self) -> bool {
        matches!(&*self.started.borrow(), Some(Ok(_)))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }
}
