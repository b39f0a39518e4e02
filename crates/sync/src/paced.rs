use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use crate::{CloseError, Closed, ConfigError, DriveError};

mod builder;
mod close;
mod core;
mod drive;
mod fold;
mod front;
mod keyed;
mod run_set;
mod snapshot;
#[cfg(feature = "spawn")]
mod spawn;
mod state;
mod window;

#[cfg(feature = "spawn")]
pub use self::spawn::Driven;
pub use self::{
    builder::{DEFAULT_MAX_CONCURRENCY, PacedBuilder},
    front::{Debouncing, Pacing, Throttling},
    keyed::KeyedPaced,
    snapshot::PacedSnapshot,
};
use self::{
    core::Core,
    drive::{Driver, drive},
};

/// Which calls are run: what [`Debounce`](crate::Debounce) and [`Throttle`](crate::Throttle) do at
/// the two edges of a window.
///
/// A window is opened by a call while there is none, and by every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    /// A call that opens a window is run at once; those during the window are dropped.
    Leading,
    /// No call is run before the window ends; then the latest one is.
    Trailing,
    /// A call that opens a window is run at once, and if there were others, the latest of them
    /// when the window ends.
    Both,
}

/// Runs calls with pauses between them: a [`Debounce`](crate::Debounce) or a
/// [`Throttle`](crate::Throttle), which share all but how long a window lasts.
///
/// [`call`](Self::call) only notes a value and returns. A future that you run,
/// [`drive`](Self::drive), waits for the time to come and runs the values: nothing happens behind
/// your back, and where you stop driving, nothing is run.
///
/// # Guarantees
///
/// - Of the calls held back in one window the latest wins, the others are dropped; or they are
///   [folded](PacedBuilder::fold) into one. Two values at most are kept: the call that is to be
///   run at once, and what is held back.
/// - Runs never overlap. One that is due during another starts when that ends.
/// - A run opens a new window, one at the trailing edge too.
/// - What is due stays due: calls that come while the driver is late do not put it off.
/// - A run that panics is reported by an event; the calls after it are run all the same.
/// - Durations are taken from the clock; the waits are tokio's timers, which count milliseconds
///   and are never early.
///
/// After lodash's `debounce` and `throttle`, but for the window that a trailing run opens: there a
/// call right after a trailing run may be run at once.
pub struct Paced<T, P> {
    core: Arc<Core<(), T>>,
    pacing: PhantomData<fn() -> P>,
}

impl<T, P: Pacing> Paced<T, P> {
    /// One with defaults and without a name. The window lasts so long: a debounce's after the
    /// latest call, a throttle's after the latest run.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for the duration, which is called
    /// `wait` for a debounce and `interval` for a throttle.
    pub fn new(window: Duration) -> Result<Self, ConfigError>
    where
        T: Send + 'static,
    {
        Self::builder(window).build()
    }

    /// Configures one.
    #[must_use]
    pub fn builder(window: Duration) -> PacedBuilder<Self> {
        PacedBuilder::new(window)
    }
}

impl<T, P> Paced<T, P> {
    /// Asks for a run with this value.
    ///
    /// # Errors
    ///
    /// [`Closed`] once [`close`](Self::close) was called; the value is dropped.
    ///
    /// # Panics
    ///
    /// Where the [fold](PacedBuilder::fold) does. What it was given is lost, nothing else.
    pub fn call(&self, value: T) -> Result<(), Closed> {
        // There is always room for the one key.
        self.core.call((), value).map_err(|_| Closed)
    }

    /// Drops what is not being run yet, and ends the window: the next call opens one.
    pub fn cancel(&self) {
        self.core.cancel(&());
    }

    /// Makes what is held back due now; without effect if nothing is.
    pub fn flush(&self) {
        self.core.flush(&());
    }

    /// Whether a call waits to be run.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.core.is_pending(&())
    }

    /// Runs the calls when they are due, one after the other, until the instance is
    /// [closed](Self::close) and what was pending has been run.
    ///
    /// Run it in a task of your own or beside other futures. A panic of a run becomes a `tracing`
    /// event of level warn.
    ///
    /// # Errors
    ///
    /// [`DriveError::AlreadyDriven`] while there is another driver.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time driver.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropping it drops the run in progress, whose value is lost; what
    /// is pending stays for the next driver.
    pub async fn drive<F, Fut>(&self, mut run: F) -> Result<(), DriveError>
    where
        T: Send,
        F: FnMut(T) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        let driver = Driver::enter(&*self.core)?;
        drive(driver, |(), value| run(value)).await;
        Ok(())
    }

    /// Refuses further calls, makes what is pending due now, and waits until it has been run.
    ///
    /// It waits as long as the runs take; wrap it in a timeout if those have none.
    ///
    /// # Errors
    ///
    /// [`CloseError::NotDriven`] if something is pending and nobody drives, or the driver is
    /// dropped meanwhile. It stays closed, and pending until [driven](Self::drive) or
    /// [cancelled](Self::cancel).
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled; from then on it is closed, also if this is dropped.
    pub async fn close(&self) -> Result<(), CloseError>
    where
        T: Send,
    {
        close::close(&self.core).await
    }

    /// The name given to [`PacedBuilder::name`], empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// All that can be seen of it, at one moment.
    #[must_use]
    pub fn snapshot(&self) -> PacedSnapshot {
        self.core.snapshot()
    }
}

impl<T, P> fmt::Debug for Paced<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
