use std::{fmt, time::Duration};

use crate::{CloseError, Closed, ConfigError, DriveError, paced::Paced};

mod builder;

pub use self::builder::ThrottleBuilder;

/// Runs calls at most once in an interval.
///
/// [`call`](Self::call) only notes a value and returns. A future that you run,
/// [`drive`](Self::drive), waits for the time to come and runs the values: nothing happens behind
/// your back, and where you stop driving, nothing is run.
///
/// A call opens a window if there is none, and so does every run, a trailing one too. The window
/// ends after `interval`. See [`Edges`](crate::Edges) for what is run then; by default the call that opens a
/// window is run at once, and the latest of the others at its end.
///
/// # Guarantees
///
/// - Of the calls held back in one window the latest wins, the others are dropped. To keep all of
///   them, put them into a collection of your own and call with `()`.
/// - Runs never overlap. One that is due during another starts when that ends.
/// - Runs begin at least an interval apart, unless a [`flush`](Self::flush), a
///   [`cancel`](Self::cancel) or the [`close`](Self::close) came between them.
/// - What is due stays due: calls that come while the driver is late do not put it off.
/// - A run that panics is reported by an event; the calls after it are run all the same.
/// - Both durations are taken from the clock; the waits are tokio's timers, which count milliseconds
///   and are never early.
///
/// After lodash's `throttle`, but for the window that a trailing run opens: there a call right
/// after a trailing run may be run at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use steadfast_sync::Throttle;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let progress = Throttle::new(Duration::from_millis(20))?;
/// let mut shown = Vec::new();
/// let work = async {
///     for percent in [0, 30, 60, 100] {
///         progress.call(percent)?;
///     }
///     progress.close().await?;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// let (driven, worked) = tokio::join!(
///     progress.drive(|percent| {
///         shown.push(percent);
///         async {}
///     }),
///     work,
/// );
/// driven?;
/// worked?;
/// assert_eq!(shown, [0, 100]);
/// # Ok(()) }
/// ```
pub struct Throttle<T> {
    paced: Paced<T>,
}

impl<T> Throttle<T> {
    /// One with defaults and without a name.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `interval`.
    pub fn new(interval: Duration) -> Result<Self, ConfigError> {
        Self::builder(interval).build()
    }

    /// Configures one.
    #[must_use]
    pub fn builder(interval: Duration) -> ThrottleBuilder<T> {
        ThrottleBuilder::new(interval)
    }

    /// Asks for a run with this value.
    ///
    /// # Errors
    ///
    /// [`Closed`] once [`close`](Self::close) was called; the value is dropped.
    pub fn call(&self, value: T) -> Result<(), Closed> {
        self.paced.call(value)
    }

    /// Drops what is not being run yet, and ends the window: the next call opens one.
    pub fn cancel(&self) {
        self.paced.cancel();
    }

    /// Makes what is held back due now; without effect if nothing is.
    pub fn flush(&self) {
        self.paced.flush();
    }

    /// Whether a call waits to be run.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.paced.is_pending()
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
    pub async fn drive<F, Fut>(&self, run: F) -> Result<(), DriveError>
    where
        T: Send,
        F: FnMut(T) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        self.paced.drive(run).await
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
        self.paced.close().await
    }

    /// The name given to [`ThrottleBuilder::name`], empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        self.paced.name()
    }
}

impl<T> fmt::Debug for Throttle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("name", &self.name())
            .field("is_pending", &self.is_pending())
            .finish_non_exhaustive()
    }
}
