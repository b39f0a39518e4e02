use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use steadfast_clock::{Clock, SystemClock};
use steadfast_sync::{AsyncLock, Quota};
use tokio_util::task::TaskTracker;

use crate::{
    Authenticator, Authorizer, BuildError, History, Hub, Limits, Observer, RpcHandler,
    heartbeat::Heartbeat,
    hub::{Inner, Phase},
    origins::Origins,
    registry::Registry,
    shared::Shared,
};

/// Builds a [`Hub`].
///
/// Only the authenticator must be set.
pub struct HubBuilder {
    authenticator: Option<Arc<dyn Authenticator>>,
    authorizer: Option<Arc<dyn Authorizer>>,
    history: Option<Arc<dyn History>>,
    rpc: Option<Arc<dyn RpcHandler>>,
    observer: Option<Arc<dyn Observer>>,
    limits: Limits,
    origins: Option<Vec<String>>,
    clock: Arc<dyn Clock>,
}

impl HubBuilder {
    pub(crate) fn new() -> Self {
        Self {
            authenticator: None,
            authorizer: None,
            history: None,
            rpc: None,
            observer: None,
            limits: Limits::default(),
            origins: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Who clients are; must be set.
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// What clients may do. Without one they neither subscribe nor publish: they receive what the
    /// server subscribes them to.
    #[must_use]
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = Some(authorizer);
        self
    }

    /// The topics that have a history; without one none has.
    #[must_use]
    pub fn history(mut self, history: Arc<dyn History>) -> Self {
        self.history = Some(history);
        self
    }

    /// Answers `rpc` commands; without one they are answered 108, not available.
    #[must_use]
    pub fn rpc(mut self, rpc: Arc<dyn RpcHandler>) -> Self {
        self.rpc = Some(rpc);
        self
    }

    /// Is told when clients come and go.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Every bound; see [`Limits`] for the defaults.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Web pages that may connect, as `scheme://host[:port]`, or `*` for each.
    ///
    /// Without this a page may connect to the host that it came from. Programs that send no
    /// `Origin` are let through.
    #[must_use]
    pub fn allowed_origins<S: Into<String>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Self {
        self.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// The clock; the machine's by default. Its monotonic time has to run along with tokio's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the hub, not yet started.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names the setting that cannot work.
    pub fn build(self) -> Result<Hub, BuildError> {
        self.limits.validate()?;
        let limits = Arc::new(self.limits);
        let quota = Quota::per_second(limits.commands_per_second)
            .and_then(|quota| quota.with_burst(limits.command_burst))
            .map_err(|source| BuildError::CommandRate { source })?;
        let field = "authenticator";
        let authenticator = self.authenticator.ok_or(BuildError::Missing { field })?;
        let since_epoch = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
        let shared = Arc::new(Shared {
            quota,
            origins: Origins::parse(self.origins)?,
            authenticator,
            authorizer: self.authorizer,
            history: self.history,
            rpc: self.rpc,
            observer: self.observer,
            registry: Registry::new(limits.clone()),
            places: Arc::default(),
            heartbeat: Heartbeat::new(&limits, self.clock.clone()),
            publishers: AsyncLock::builder()
                .name("publishers of a topic")
                .clock(self.clock.clone())
                .build()
                .unwrap_or_default(),
            counters: Default::default(),
            instance: since_epoch.unwrap_or_default().as_nanos() as u64,
            clock: self.clock,
            limits,
        });
        Ok(Hub {
            inner: Arc::new(Inner {
                shared,
                phase: Mutex::new(Phase::Idle),
                supervisors: TaskTracker::new(),
            }),
        })
    }
}

impl std::fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubBuilder")
            .field("limits", &self.limits)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
