use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use crate::{ConfigError, config::check_duration, rt};

mod snapshot;

#[cfg(feature = "metrics")]
pub(crate) use self::snapshot::Figure;
#[cfg(feature = "serde")]
pub(crate) use self::snapshot::seconds;
pub use self::snapshot::{CallSite, PrimitiveState, QueuedCaller, Snapshot};

/// The named primitives that are alive, to be looked at and watched.
///
/// A builder that is given a name registers what it builds, in [`Registry::global`] unless it is
/// given another registry. Registration is weak: it keeps nothing alive. Clones are handles to the
/// same registry. Two primitives may have the same name; both are listed.
///
/// # Examples
///
/// ```
/// use steadfast_sync::{Registry, Semaphore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = Registry::new();
/// let workers = Semaphore::builder(4).name("workers").registry(&registry).build()?;
/// assert_eq!(registry.snapshot()[0].name, "workers");
/// drop(workers);
/// assert!(registry.snapshot().is_empty());
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    /// The standard library's mutex also under a checker: it is held for no decision of a
    /// primitive, and the global registry outlives the checker's executions.
    entries: Arc<Mutex<Entries>>,
}

/// What the registry sees of a primitive. It is called while no lock is held.
pub(crate) trait Inspect: Send + Sync {
    /// The name and the state at this moment.
    fn inspect(&self) -> Snapshot;

    /// Reports by events what takes too long, and forgets what is idle.
    fn look(&self) {}
}

#[derive(Default)]
struct Entries {
    /// In the order of registration.
    list: Vec<Weak<dyn Inspect>>,
    /// At which length the dead are removed next, so that registering costs O(1).
    prune_at: usize,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The registry of the process, which builders use unless told otherwise.
    #[must_use]
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Self::new)
    }

    /// The state of every named primitive, in the order in which they were built.
    ///
    /// Each is read at its own moment. Looking holds up the users of a primitive for as long as an
    /// operation on it does.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Snapshot> {
        self.alive().iter().map(|entry| entry.inspect()).collect()
    }

    /// Looks at every named primitive once an `interval`, for as long as you poll it.
    ///
    /// A look reports as `tracing` events of level warn who holds or waits for too long and which
    /// grants are not claimed, each of them once; it forgets idle keys; and with the feature
    /// `metrics` it sets the gauges and totals. Waits that end are reported without it, and so are
    /// holds that end if somebody waited or looked meanwhile.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `interval`, at once.
    ///
    /// # Panics
    ///
    /// The future, when it is polled outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the watch; nothing stays behind.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast_sync::Registry;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), steadfast_sync::ConfigError> {
    /// let watch = Registry::global().watch(Duration::from_secs(1))?;
    /// tokio::select! {
    ///     never = watch => match never {},
    ///     () = async { /* your service */ } => {}
    /// }
    /// # Ok(()) }
    /// ```
    pub fn watch(
        &self,
        interval: Duration,
    ) -> Result<impl Future<Output = Infallible> + use<>, ConfigError> {
        check_duration("interval", interval)?;
        let registry = self.clone();
        Ok(async move {
            loop {
                registry.look();
                rt::sleep(interval).await;
            }
        })
    }

    fn look(&self) {
        for entry in self.alive() {
            entry.look();
            #[cfg(feature = "metrics")]
            crate::meters::publish(&entry.inspect());
        }
    }

    /// Lists a primitive, if it has a name.
    pub(crate) fn add<T: Inspect + 'static>(&self, name: &str, primitive: &Arc<T>) {
        if name.is_empty() {
            return;
        }
        let weak = Arc::downgrade(primitive);
        let mut entries = self.entries();
        if entries.list.len() >= entries.prune_at {
            entries.list.retain(|entry| entry.strong_count() > 0);
            entries.prune_at = 16.max(2 * entries.list.len());
        }
        entries.list.push(weak);
    }

    /// What is alive, to be looked at while the registry is not locked.
    fn alive(&self) -> Vec<Arc<dyn Inspect>> {
        let entries = self.entries();
        entries.list.iter().filter_map(Weak::upgrade).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registered = self.entries().list.len();
        f.debug_struct("Registry")
            .field("registered", &registered)
            .finish_non_exhaustive()
    }
}
