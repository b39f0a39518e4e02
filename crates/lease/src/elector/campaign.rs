use std::{
    future::Future,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{select, sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{ElectorState, WhenWorkReturns};
use crate::{
    Grant, LeaseContext, LeaseLock, LossReason, context::Holding, lease_lock::Attempt,
    spread::spread,
};

/// What an elector and its task share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Ends the campaign.
    pub(super) stop: CancellationToken,
    /// The lease of the term, from before `Leader` is published until `Released` is: both change
    /// under this lock.
    term: Mutex<Option<Arc<Holding>>>,
}

impl Shared {
    pub(super) fn term(&self) -> Option<Arc<Holding>> {
        self.with(|term| term.clone())
    }

    /// Tells the work to end; the fence of its term, if there is one.
    pub(super) fn resign(&self) -> Option<u64> {
        let term = self.term()?;
        term.lose(LossReason::Resigned);
        Some(term.fence)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Option<Arc<Holding>>) -> R) -> R {
        f(&mut self.term.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The task of an elector. It alone publishes the state.
pub(super) struct Campaign<F> {
    pub(super) lock: LeaseLock,
    pub(super) when_work_returns: WhenWorkReturns,
    pub(super) work: Arc<F>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: watch::Sender<ElectorState>,
}

impl<F, W> Campaign<F>
where
    F: Fn(LeaseContext) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    pub(super) async fn run(self) {
        let limits = self.lock.limits;
        for attempt in 0_u64.. {
            publish(&self.state, ElectorState::Candidate);
            // Not given up when the campaign ends: that might leave the lease taken.
            let trouble = match self.lock.attempt(limits.ttl).await {
                Attempt::Granted(grant) => {
                    let done = self.lead(grant).await;
                    if done && self.when_work_returns == WhenWorkReturns::Stop {
                        return;
                    }
                    // Longer than any rival's pause between two attempts: it is their turn.
                    if self.stopped_within(limits.retry_every).await {
                        return;
                    }
                    continue;
                }
                Attempt::Busy => None,
                Attempt::Failed(error) => Some(error.to_string()),
                Attempt::TooLate => Some("no answer in time".to_owned()),
            };
            if let Some(trouble) = trouble {
                tracing::warn!(key = %self.lock.key, owner = %self.lock.owner, trouble,
                    "cannot tell who leads");
            }
            publish(&self.state, ElectorState::Follower);
            let pause = spread(limits.retry_every, &self.lock.owner, attempt);
            if self.stopped_within(pause).await {
                return;
            }
        }
    }

    /// One term. Whether the work has returned without having been told to.
    async fn lead(&self, grant: Grant) -> bool {
        let done = self.lock.hold(grant, |cx| self.term(cx)).await;
        self.shared.with(|term| {
            *term = None;
            publish(&self.state, ElectorState::Released);
        });
        done.unwrap_or(false)
    }

    async fn term(&self, cx: LeaseContext) -> bool {
        let fence = cx.fence();
        let begun = self.shared.with(|term| {
            // After the end of the campaign nobody would tell the work to end.
            if self.shared.stop.is_cancelled() {
                return false;
            }
            *term = Some(Arc::clone(cx.holding()));
            publish(&self.state, ElectorState::Leader { fence });
            true
        });
        if !begun {
            return false;
        }
        tracing::info!(key = %cx.key(), owner = %self.lock.owner, fence, "leads");
        // A task, so that its panics stay there, and work that is busy for long does not keep the
        // loss from being published. The set aborts it when this future is dropped.
        let mut work = JoinSet::new();
        let (run, given) = (Arc::clone(&self.work), cx.clone());
        work.spawn(async move { run(given).await });
        let stopping = || publish(&self.state, ElectorState::StoppingWork { fence });
        let ended = select! {
            biased;
            () = cx.cancellation().cancelled() => {
                stopping();
                work.join_next().await
            }
            ended = work.join_next() => ended,
        };
        let told = cx.check();
        stopping();
        match ended {
            Some(Err(error)) => {
                tracing::error!(key = %cx.key(), fence, %error, "work of the leader failed");
                false
            }
            _ => told.is_ok(),
        }
    }

    async fn stopped_within(&self, pause: Duration) -> bool {
        select! {
            biased;
            () = self.shared.stop.cancelled() => true,
            () = sleep(pause) => false,
        }
    }
}

impl<F> Drop for Campaign<F> {
    /// Nobody is left believing that this leads. Of a term that was cut short the work is being
    /// dropped and nothing was released.
    fn drop(&mut self) {
        let fence = self.state.borrow().fence();
        let last = match fence {
            Some(fence) => ElectorState::StoppingWork { fence },
            None => ElectorState::Released,
        };
        publish(&self.state, last);
    }
}

/// Wakes those who watch only if there is something new.
fn publish(state: &watch::Sender<ElectorState>, new: ElectorState) {
    state.send_if_modified(|state| mem::replace(state, new) != new);
}
