use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep_until, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{Disconnect, ShutdownReport, shared::Shared};

/// Between two close frames of a shutdown, while the grace allows it: clients that come back do
/// not come back at once.
const STAGGER: Duration = Duration::from_millis(2);

/// One time between start and stop: its tasks, and the signals that end them.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Everything that this run has spawned.
    pub(crate) tasks: TaskTracker,
    /// Nothing new is let in.
    pub(crate) drain: CancellationToken,
    /// The grace is over.
    pub(crate) abort: CancellationToken,
    pub(crate) graceful: AtomicUsize,
    pub(crate) forced: AtomicUsize,
}

impl Run {
    pub(crate) fn start(shared: &Arc<Shared>) -> Arc<Self> {
        let run = Arc::new(Self::default());
        shared.registry.open();
        let (shared, drain) = (shared.clone(), run.drain.clone());
        run.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(shared.heartbeat.tick);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            while drain.run_until_cancelled(ticks.tick()).await.is_some() {
                shared.heartbeat.turn();
            }
        });
        run
    }

    /// Ends every connection and task of the run.
    pub(crate) async fn shut_down(&self, shared: &Shared, grace: Duration) -> ShutdownReport {
        let start = shared.clock.monotonic();
        self.drain.cancel();
        self.tasks.close();
        let clients = shared.registry.close();
        let spread = (STAGGER * clients.len() as u32).min(grace / 2);
        let total = clients.len().max(1) as u32;
        for (turn, client) in clients.into_iter().enumerate() {
            if turn > 0 {
                sleep_until(start + spread / total * turn as u32).await;
            }
            client.outbox.close(Disconnect::SHUTDOWN);
        }
        let left = grace.saturating_sub(shared.clock.monotonic() - start);
        if timeout(left, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
        let report = ShutdownReport {
            graceful: self.graceful.load(Ordering::Relaxed),
            forced: self.forced.load(Ordering::Relaxed),
        };
        info!(report.graceful, report.forced, "hub stopped");
        report
    }
}
