use crate::paced::{Debouncing, KeyedPaced, Paced};

/// Runs the latest of a burst of calls, once the calls have paused for a while.
///
/// A call opens a window if there is none, and so does every run, a trailing one too. The window
/// ends when there was no call for `wait`. See [`Edges`](crate::Edges) for what is run then; by
/// default that is the latest call of the window. A call held back is due at the latest after
/// [`max_wait`](crate::PacedBuilder::max_wait), counted from the first one held back in its
/// window.
///
/// [`Paced`] says what is guaranteed.
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
pub type Debounce<T> = Paced<T, Debouncing>;

/// A [`Debounce`] for each key, driven by one future.
///
/// [`KeyedPaced`] says what is guaranteed.
///
/// # Examples
///
/// ```
/// use std::{sync::Mutex, time::Duration};
/// use steadfast_sync::KeyedDebounce;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let saves = KeyedDebounce::builder(Duration::from_millis(20)).max_keys(1000).build()?;
/// let saved = Mutex::new(Vec::new());
/// saves.call("a.txt", "draft")?;
/// saves.call("b.txt", "one")?;
/// saves.call("a.txt", "final")?;
/// let drive = saves.drive(|file, text| {
///     let saved = &saved;
///     async move { saved.lock().unwrap().push((file, text)) }
/// });
/// let (driven, closed) = tokio::join!(drive, saves.close());
/// driven?;
/// closed?;
/// assert_eq!(*saved.lock().unwrap(), [("a.txt", "final"), ("b.txt", "one")]);
/// assert!(saves.is_empty());
/// # Ok(()) }
/// ```
pub type KeyedDebounce<K, T> = KeyedPaced<K, T, Debouncing>;
