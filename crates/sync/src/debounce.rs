use std::{fmt, time::Duration};

use crate::{CloseError, Closed, ConfigError, DriveError, paced::Paced};

mod builder;

pub use self::builder::DebounceBuilder;

/// Runs the latest of a burst of calls, once the calls have paused for a while.
///
/// [`call`](Self::call) only notes a value and returns. A future that you run,
/// [`drive`](Self::drive), waits for the time to come and runs the values: nothing happens behind
/// your back, and where you stop driving, nothing is run.
///
/// A call opens a window if there is none, and so does every run, a trailing one too. The window
/// ends when there was no call for `wait`. See [`Edges`](crate::Edges) for what is run then; by default that is
/// the latest call of the window.
///
/// # Guarantees
///
/// - Of the calls held back in one window the latest wins, the others are dropped. To keep all of
///   them, put them into a collection of your own and call with `()`.
/// - Runs never overlap. One that is due during another starts when that ends.
/// - A call held back is due at the latest after [`max_wait`](DebounceBuilder::max_wait), counted
///   from the first one held back in its window.
/// - What is due stays due: calls that come while the driver is late do not put it off.
/// - A run that panics is reported by an event; the calls after it are run all the same.
/// - Both durations are taken from the clock; the waits are tokio's timers, which count milliseconds
///   and are never early.
///
/// After lodash's `debounce`, but for the window that a trailing run opens: there a call right
/// after a trailing run may be run at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use steadfast_sync::Debounce;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let search = Debounce::new(Duration::from_millis(20))?;
/// let mut searched = Vec::new();
/// let typing = async {
///     for text in ["s", "st", "ste"] {
///         search.call(text)?;
///     }
///     search.close().await?;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// let (driven, typed) = tokio::join!(
///     search.drive(|text| {
///         searched.push(text);
///         async {}
///     }),
///     typing,
/// );
/// driven?;
/// typed?;
/// assert_eq!(searched, ["ste"]);
/// # Ok(()) }
/// ```
pub struct Debounce<T> {
    paced: Paced<T>,
}

impl<T> Debounce<T> {
    /// One with defaults and without a name.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Zero`] and [`ConfigError::TooLarge`] for `wait`.
    pub fn new(wait: Duration) -> Result<Self, ConfigError> {
        Self::builder(wait).build()
    }

    /// Configures one.
    #[must_use]
    pub fn builder(wait: Duration) -> DebounceBuilder<T> {
        DebounceBuilder::new(wait)
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

    /// The name given to [`DebounceBuilder::name`], empty if none was.
    #[must_use]
    pub fn name(&self) -> &str {
        self.paced.name()
    }
}

impl<T> fmt::Debug for Debounce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debounce")
            .field("name", &self.name())
            .field("is_pending", &self.is_pending())
            .finish_non_exhaustive()
    }
}
