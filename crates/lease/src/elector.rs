use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{LeaseContext, LeaseLock, StillStopping};

mod campaign;
mod state;

use campaign::{Campaign, Shared};
pub use state::ElectorState;

/// Leads now and then: campaigns for the lease of one key, runs work for as long as it holds it,
/// and campaigns again.
///
/// # Guarantees
///
/// - The work runs once for each term, under a lease with a fence of its own, higher than those of
///   all terms before it, here or elsewhere.
/// - It leads no more on any doubt, in the sense of [`LeaseLock`]: [`ElectorState::Leader`] ends,
///   and the work's token is cancelled, before another can be granted the lease.
/// - The lease is released only after the work has returned. While work that was told to end by
///   [`resign`](Self::resign) or [`shutdown`](Self::shutdown) still runs, the lease is renewed.
///   Work that never returns keeps it: the elector stays in [`ElectorState::StoppingWork`].
/// - After a term it stays out for one whole retry pause of its lock, longer than the pause of any
///   rival with the same settings, so that a resignation hands over.
/// - A panic of the work ends its term as a return would: the lease is released, so that another
///   takes over at once, the panic is logged, and the elector campaigns again, whatever
///   [`WhenWorkReturns`] says.
/// - It campaigns for as long as it lives. Trouble of the backend, transient or not, is logged and
///   asked again about after the retry pause; the lock's acquire timeout plays no part.
/// - A panic of the backend is trouble, and where it concerns the renewal a doubt: the term ends at
///   once, its work is waited for, and the elector campaigns again. (Where panics abort, they do.)
///
/// Whether a lease still holds while no task could run, as after the machine was asleep, tell
/// [`state`](Self::state) and [`LeaseContext::check`] by the clock, and the watch does not.
///
/// # Cancel safety
///
/// Dropping the elector drops the work at its next await and the renewal; the lease is left to
/// expire. To hand over at once, call [`shutdown`](Self::shutdown) first.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use steadfast_lease::{Elector, LeaseLock, MemoryBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = LeaseLock::builder(Arc::new(MemoryBackend::new()), "sweeper", "host-1").build()?;
/// let elector = Elector::builder(lock).start(async |cx| {
///     while cx.check().is_ok() {
///         // sweep(cx.fence()).await
///         tokio::select! {
///             () = cx.cancellation().cancelled() => {}
///             () = tokio::time::sleep(Duration::from_secs(60)) => {}
///         }
///     }
/// });
/// let mut state = elector.subscribe();
/// state.wait_for(|state| state.is_leader()).await?;
/// elector.shutdown(Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Elector {
    key: Arc<str>,
    shared: Arc<Shared>,
    state: watch::Receiver<ElectorState>,
    /// Aborts the campaign when it is dropped.
    _campaign: JoinSet<()>,
}

impl Elector {
    /// An elector that leads under `lock`.
    #[must_use]
    pub fn builder(lock: LeaseLock) -> ElectorBuilder {
        ElectorBuilder {
            lock,
            when_work_returns: WhenWorkReturns::default(),
        }
    }

    /// What it does now; `Leader` only if the lease holds by the clock and was not resigned.
    #[must_use]
    pub fn state(&self) -> ElectorState {
        let state = *self.state.borrow();
        match state {
            ElectorState::Leader { fence } if !self.holds(fence) => {
                ElectorState::StoppingWork { fence }
            }
            _ => state,
        }
    }

    /// Follows the state. Of states that follow each other quickly the last is seen; the channel
    /// is closed when the elector has ended.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<ElectorState> {
        self.state.clone()
    }

    /// Ends the term, if it has one, and waits until the lease is released; it then campaigns
    /// again, after its rivals had their turn.
    ///
    /// # Cancel safety
    ///
    /// From its first poll on the term ends, also if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`StillStopping`] if that takes longer than `within`; the term ends none the less. Call
    /// again to wait for longer.
    pub async fn resign(&self, within: Duration) -> Result<(), StillStopping> {
        match self.shared.resign() {
            None => Ok(()),
            Some(fence) => {
                self.wait(within, |state| state.fence() != Some(fence))
                    .await
            }
        }
    }

    /// Ends the term, if it has one, and the campaign, and waits until the lease is released.
    ///
    /// An attempt under way is waited for, and what it is granted is released.
    ///
    /// # Cancel safety
    ///
    /// From its first poll on both end, also if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`StillStopping`] if that takes longer than `within`; both end none the less. Call again to
    /// wait for longer.
    pub async fn shutdown(&self, within: Duration) -> Result<(), StillStopping> {
        self.shared.stop.cancel();
        self.shared.resign();
        // Until the channel is closed.
        self.wait(within, |_| false).await
    }

    fn holds(&self, fence: u64) -> bool {
        let term = self.shared.term();
        term.is_some_and(|term| term.fence == fence && term.check().is_ok())
    }

    async fn wait(
        &self,
        within: Duration,
        until: impl FnMut(&ElectorState) -> bool,
    ) -> Result<(), StillStopping> {
        let mut state = self.state.clone();
        match timeout(within, state.wait_for(until)).await {
            // An error means that the elector has ended.
            Ok(Ok(_) | Err(_)) => Ok(()),
            Err(_) => Err(StillStopping {
                key: Arc::clone(&self.key),
                state: self.state(),
                after: within,
            }),
        }
    }
}

impl fmt::Debug for Elector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elector")
            .field("key", &self.key)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// What an elector does when the work of its term has returned without having been told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenWorkReturns {
    /// It campaigns again after the retry pause.
    #[default]
    CampaignAgain,
    /// It has ended, with the lease released.
    Stop,
}

/// Settings of an [`Elector`].
#[derive(Debug)]
pub struct ElectorBuilder {
    lock: LeaseLock,
    when_work_returns: WhenWorkReturns,
}

impl ElectorBuilder {
    /// Sets what happens when the work has returned without having been told to.
    #[must_use]
    pub fn when_work_returns(mut self, then: WhenWorkReturns) -> Self {
        self.when_work_returns = then;
        self
    }

    /// Campaigns in a task of its own, and runs `work` for each term, in another.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    #[must_use = "dropping the elector ends it"]
    pub fn start<F, W>(self, work: F) -> Elector
    where
        F: Fn(LeaseContext) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let key = Arc::clone(&self.lock.key);
        let shared = Arc::new(Shared::default());
        let (sender, state) = watch::channel(ElectorState::Candidate);
        let campaign = Campaign {
            lock: self.lock,
            when_work_returns: self.when_work_returns,
            work: Arc::new(work),
            shared: Arc::clone(&shared),
            state: sender,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(campaign.run());
        Elector {
            key,
            shared,
            state,
            _campaign: tasks,
        }
    }
}
