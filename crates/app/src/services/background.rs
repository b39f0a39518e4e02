use std::{
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
};

use futures_util::FutureExt as _;
use steadfast_lifecycle::{FailureReporter, ServiceError};
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

    /// As [`begin`](Self::begin), and reports the failure if the work panics.
    pub(super) fn begin_supervised<F>(
        &self,
        reporter: FailureReporter,
        work: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.begin(|stop| {
            let work = AssertUnwindSafe(work(stop)).catch_unwind();
            work.map(move |ended| {
                // What it panicked with is in the log.
                if ended.is_err() {
                    reporter.failed(ServiceError::transient("its task panicked"));
                }
            })
        });
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use async_trait::async_trait;
    use steadfast_lifecycle::{
        Health, Lifecycle, Service, ServiceSpec, StartContext, Status, StopContext,
    };
    use tokio::sync::Notify;

    use super::*;
    use crate::services::restarts;

    /// Its task panics when it is told to.
    #[derive(Default)]
    struct Fragile {
        task: Background,
        panic: Arc<Notify>,
    }

    #[async_trait]
    impl Service for Fragile {
        fn spec(&self) -> ServiceSpec {
            ServiceSpec::new("fragile").restart(restarts::of_a_task())
        }

        async fn start(&self, cx: StartContext) -> Result<(), ServiceError> {
            let panic = self.panic.clone();
            let work = |stop: CancellationToken| async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = panic.notified() => panic!("told to"),
                }
            };
            self.task.begin_supervised(cx.failure_reporter(), work);
            Ok(())
        }

        async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
            self.task.end().await;
            Ok(())
        }

        async fn health(&self) -> Health {
            Health::healthy()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn service_whose_task_panicked_is_started_again() {
        let service = Arc::new(Fragile::default());
        let lifecycle = Lifecycle::builder().service(service.clone());
        let lifecycle = lifecycle.build().unwrap();
        lifecycle.start().await.unwrap();
        service.panic.notify_one();
        let mut snapshot = lifecycle.subscribe();
        let again =
            snapshot.wait_for(|now| now.status == Status::Running && now.services[0].restarts == 1);
        let again = tokio::time::timeout(Duration::from_secs(60), again);
        again.await.unwrap().unwrap();
        assert!(service.task.is_running());
        let error = lifecycle.snapshot().services[0].last_error.clone();
        assert_eq!(error.as_deref(), Some("its task panicked"));
        lifecycle.stop().await.unwrap();
    }
}
