use crate::paced::{KeyedPaced, Paced, Throttling};

/// Runs calls at most once in an interval.
///
/// A call opens a window if there is none, and so does every run, a trailing one too. The window
/// ends after `interval`. See [`Edges`](crate::Edges) for what is run then; by default the call
/// that opens a window is run at once, and the latest of the others at its end. So runs begin at
/// least an interval apart, unless a [`flush`](Paced::flush), a [`cancel`](Paced::cancel) or the
/// [`close`](Paced::close) came between them, and no call is held back for longer than an
/// interval and the run that is in progress at its end.
///
/// [`Paced`] says what is guaranteed.
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
pub type Throttle<T> = Paced<T, Throttling>;

/// A [`Throttle`] for each key, driven by one future.
///
/// [`KeyedPaced`] says what is guaranteed.
///
/// # Examples
///
/// ```
/// use std::{sync::Mutex, time::Duration};
/// use steadfast_sync::KeyedThrottle;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let positions = KeyedThrottle::new(Duration::from_millis(20))?;
/// let sent = Mutex::new(Vec::new());
/// let cars = async {
///     for x in 0..3 {
///         positions.call("red car", x)?;
///         positions.call("blue car", 10 * x)?;
///     }
///     positions.close().await?;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// let drive = positions.drive(|car, x| {
///     let sent = &sent;
///     async move { sent.lock().unwrap().push((car, x)) }
/// });
/// let (driven, stopped) = tokio::join!(drive, cars);
/// driven?;
/// stopped?;
/// let mut sent = sent.into_inner().unwrap();
/// sent.sort();
/// assert_eq!(sent, [("blue car", 0), ("blue car", 20), ("red car", 0), ("red car", 2)]);
/// # Ok(()) }
/// ```
pub type KeyedThrottle<K, T> = KeyedPaced<K, T, Throttling>;
