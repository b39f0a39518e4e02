use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use steadfast_clock::Clock;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tracing::warn;

use self::window::{Pace, Window};
use crate::{
    CloseError, Closed, DriveError,
    flight::panic_message,
    rt::{self, Mutex, MutexGuard},
};

pub(crate) mod window;

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

/// What [`Debounce`](crate::Debounce) and [`Throttle`](crate::Throttle) share: calls go into a
/// window, and one driver runs what comes out.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    name: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State<T>>,
    /// Wakes the driver.
    changed: Notify,
    /// Wakes those who wait for the end of all runs.
    settled: Notify,
}

#[derive(Debug)]
struct State<T> {
    window: Window<T>,
    is_closed: bool,
    is_driven: bool,
    is_running: bool,
}

/// What the driver does next.
enum Step<T> {
    Run(T),
    /// Waits for a change, or for so long.
    Wait(Option<Duration>),
    Stop,
}

impl<T> Paced<T> {
    pub(crate) fn new(name: String, pace: Pace, clock: Arc<dyn Clock>) -> Self {
        Self {
            name,
            clock,
            state: Mutex::new(State {
                window: Window::new(pace),
                is_closed: false,
                is_driven: false,
                is_running: false,
            }),
            changed: Notify::new(),
            settled: Notify::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn call(&self, value: T) -> Result<(), Closed> {
        let now = self.clock.monotonic();
        let mut state = self.locked();
        if state.is_closed {
            // The value is dropped when the lock has been released.
            drop(state);
            return Err(Closed);
        }
        let displaced = state.window.call(now, value);
        drop(state);
        self.changed.notify_one();
        drop(displaced);
        Ok(())
    }

    pub(crate) fn cancel(&self) {
        let cancelled = self.locked().window.cancel();
        self.changed.notify_one();
        self.settled.notify_waiters();
        drop(cancelled);
    }

    pub(crate) fn flush(&self) {
        self.locked().window.flush();
        self.changed.notify_one();
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.locked().window.is_pending()
    }

    pub(crate) async fn drive<F, Fut>(&self, mut run: F) -> Result<(), DriveError>
    where
        T: Send,
        F: FnMut(T) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        let driver = Driver::enter(self)?;
        loop {
            match driver.step() {
                Step::Run(value) => {
                    let _running = Running(self);
                    self.run_caught(&mut run, value).await;
                }
                Step::Wait(Some(duration)) => {
                    // Whether time or a call ends it, the next step sees what is due.
                    let _ = timeout(duration, self.changed.notified()).await;
                }
                Step::Wait(None) => self.changed.notified().await,
                Step::Stop => return Ok(()),
            }
        }
    }

    pub(crate) async fn close(&self) -> Result<(), CloseError>
    where
        T: Send,
    {
        self.locked().close();
        self.changed.notify_one();
        loop {
            let mut settled = pin!(self.settled.notified());
            settled.as_mut().enable();
            match self.locked().standing() {
                Standing::Drained => return Ok(()),
                Standing::NotDriven => return Err(CloseError::NotDriven),
                Standing::Busy => {}
            }
            settled.await;
        }
    }

    /// Runs one call; a panic of it becomes an event.
    async fn run_caught<F, Fut>(&self, run: &mut F, value: T)
    where
        T: Send,
        F: FnMut(T) -> Fut + Send,
        Fut: Future<Output = ()> + Send,
    {
        let outcome = match catch_unwind(AssertUnwindSafe(|| run(value))) {
            Ok(future) => {
                let mut future = pin!(future);
                poll_fn(|cx| {
                    let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
                    match polled {
                        Ok(poll) => poll.map(Ok),
                        Err(payload) => Poll::Ready(Err(panic_message(&*payload))),
                    }
                })
                .await
            }
            Err(payload) => Err(panic_message(&*payload)),
        };
        if let Err(message) = outcome {
            warn!(name = self.name, %message, "run panicked");
        }
    }

    fn locked(&self) -> MutexGuard<'_, State<T>> {
        rt::lock(&self.state)
    }
}

/// What a closing caller finds.
enum Standing {
    Drained,
    NotDriven,
    Busy,
}

impl<T> State<T> {
    fn close(&mut self) {
        self.is_closed = true;
        self.window.flush();
    }

    fn standing(&self) -> Standing {
        match (self.is_running || self.window.is_pending(), self.is_driven) {
            (false, _) => Standing::Drained,
            (true, true) => Standing::Busy,
            (true, false) => Standing::NotDriven,
        }
    }

    fn step(&mut self, now: Instant) -> Step<T> {
        if let Some(value) = self.window.take(now) {
            self.is_running = true;
            return Step::Run(value);
        }
        if self.is_closed && !self.window.is_pending() {
            return Step::Stop;
        }
        let due = self.window.due();
        Step::Wait(due.map(|due| due.saturating_duration_since(now)))
    }
}

/// The right to drive, given back when the drive ends or is dropped.
struct Driver<'a, T>(&'a Paced<T>);

impl<'a, T> Driver<'a, T> {
    fn enter(paced: &'a Paced<T>) -> Result<Self, DriveError> {
        let mut state = paced.locked();
        if state.is_driven {
            return Err(DriveError::AlreadyDriven);
        }
        state.is_driven = true;
        drop(state);
        Ok(Self(paced))
    }

    fn step(&self) -> Step<T> {
        let now = self.0.clock.monotonic();
        self.0.locked().step(now)
    }
}

impl<T> Drop for Driver<'_, T> {
    fn drop(&mut self) {
        self.0.locked().is_driven = false;
        self.0.settled.notify_waiters();
    }
}

/// A run in progress.
struct Running<'a, T>(&'a Paced<T>);

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        self.0.locked().is_running = false;
        self.0.settled.notify_waiters();
    }
}
