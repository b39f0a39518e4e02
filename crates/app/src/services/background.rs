use std::sync::{Mutex, PoisonError};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a service does besides answering: begun while it is up, told to end and awaited by its
/// stop.
#[derive(Debug, Default)]
pub(super) struct Background {
    running: Mutex<Option<(CancellationToken, TaskTracker)>>,
}

impl Background {
    /// Where to add work, and what tells it to end.
    pub(super) fn open(&self) -> (TaskTracker, CancellationToken) {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((stop.clone(), tasks.clone()));
        (tasks, stop)
    }

    /// Begins the one work that there is; it ends when its token is cancelled.
    pub(super) fn begin<F>(&self, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (tasks, stop) = self.open();
        tasks.spawn(work(stop));
    }

    /// Whether the work is at work.
    pub(super) fn is_running(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_some_and(|(_, tasks)| !tasks.is_empty())
    }

    /// Tells the work to end and waits until it has.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the work ends all the same, unwatched.
    pub(super) async fn end(&self) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((stop, tasks)) = running {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }
}
