use std::{fmt, hash::Hash, ops::Deref, sync::Arc};

use tokio::task::JoinHandle;

use super::{
    KeyedPaced, Paced, Pacing, close,
    drive::{Driver, drive},
    front::Front,
};
use crate::CloseError;

/// A [`Debounce`](crate::Debounce) or a [`Throttle`](crate::Throttle), keyed or not, that is driven
/// by a task. Feature `spawn`.
///
/// It derefs to what is driven, so that you can call it.
///
/// Dropping it aborts the task: the runs in progress are dropped, and what is pending is not run.
/// [`close`](Self::close) it to have everything run.
///
/// # Examples
///
/// ```
/// use std::{sync::{Arc, Mutex}, time::Duration};
/// use steadfast_sync::Debounce;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let saved = Arc::new(Mutex::new(Vec::new()));
/// let log = Arc::clone(&saved);
/// let save = Debounce::new(Duration::from_millis(20))?.spawn(move |text: &str| {
///     log.lock().unwrap().push(text);
///     async {}
/// });
/// save.call("draft")?;
/// save.call("final")?;
/// save.close().await?;
/// assert_eq!(*saved.lock().unwrap(), ["final"]);
/// # Ok(()) }
/// ```
#[must_use = "the task is aborted as soon as this is dropped"]
pub struct Driven<F> {
    front: F,
    task: Aborting,
}

/// A task that is aborted when this is dropped.
struct Aborting(JoinHandle<()>);

impl<T, P: Pacing> Paced<T, P> {
    /// Drives it in a task of its own; see [`drive`](Self::drive). Feature `spawn`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time driver.
    pub fn spawn<F, Fut>(self, mut run: F) -> Driven<Self>
    where
        T: Send + 'static,
        F: FnMut(T) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Driven::spawn(self, move |(), value| run(value))
    }
}

impl<K, T, P: Pacing> KeyedPaced<K, T, P> {
    /// Drives it in a task of its own; see [`drive`](Self::drive). Feature `spawn`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its time driver.
    pub fn spawn<F, Fut>(self, run: F) -> Driven<Self>
    where
        K: Eq + Hash + Clone + Send + Sync + 'static,
        T: Send + 'static,
        F: FnMut(K, T) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Driven::spawn(self, run)
    }
}

impl<F: Front> Driven<F> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the handle owns the task: it awaits it, or aborts it"
    )]
    fn spawn<R, Fut>(front: F, run: R) -> Self
    where
        F::Key: Clone + Send + Sync + 'static,
        F::Value: Send + 'static,
        R: FnMut(F::Key, F::Value) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // Before the task is first polled, so that it counts as driven at once. Nobody else drives
        // it: it belonged to the caller alone.
        let driver = Driver::enter(Arc::clone(front.core()));
        let task = tokio::spawn(async move {
            if let Ok(driver) = driver {
                drive(driver, run).await;
            }
        });
        let task = Aborting(task);
        Self { front, task }
    }

    /// Refuses further calls, makes what is pending due now, and waits until it has been run and
    /// the task is over.
    ///
    /// # Errors
    ///
    /// [`CloseError::NotDriven`] if something is pending and the task is gone, because the runtime
    /// shuts down.
    ///
    /// # Cancel safety
    ///
    /// Does nothing until polled. Dropped then, it is closed and the task is aborted.
    pub async fn close(mut self) -> Result<(), CloseError>
    where
        F: Send + Sync,
        F::Key: Send + Sync,
        F::Value: Send,
    {
        close::close(self.front.core()).await?;
        // It has nothing left to do. How it ended is in the outcome above.
        let _ = (&mut self.task.0).await;
        Ok(())
    }
}

impl<F> Deref for Driven<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.front
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<F: fmt::Debug> fmt::Debug for Driven<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driven").field(&self.front).finish()
    }
}
