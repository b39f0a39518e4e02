use std::{
    any::Any,
    future::poll_fn,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use steadfast_clock::Instant;
use tracing::{trace, warn};

use super::{core::Core, run_set::RunSet, state::Step};
use crate::{
    DriveError,
    flight::panic_message,
    rt::{self, Sleep},
};

/// How much one poll does before others get their turn at the thread.
const STEPS_PER_POLL: usize = 128;

/// Runs what is due, until it is closed and drained.
pub(super) async fn drive<R, K, T, F, Fut>(driver: Driver<R, K, T>, mut run: F)
where
    R: Deref<Target = Core<K, T>> + Clone + Send + Sync + Unpin,
    K: Clone + Send + Sync,
    T: Send,
    F: FnMut(K, T) -> Fut + Send,
    Fut: Future<Output = ()> + Send,
{
    // Declared after the driver, and so dropped before it.
    let mut runs = RunSet::new();
    let (mut alarm, mut timer) = (None, pin!(None));
    poll_fn(|cx| {
        driver.set_waker(cx);
        runs.set_waker(cx);
        for _ in 0..STEPS_PER_POLL {
            let now = driver.0.now();
            match driver.step(now) {
                Step::Run {
                    run: id,
                    key,
                    value,
                } => {
                    let running = Running::begin(driver.0.clone(), id);
                    match catch_unwind(AssertUnwindSafe(|| run(K::clone(&key), value))) {
                        Ok(future) => runs.push(Supervised::new(future, running)),
                        Err(payload) => running.panicked(&*payload),
                    }
                }
                Step::Again => {}
                Step::Stop => return Poll::Ready(()),
                Step::Wait(until) => {
                    if !runs.poll_next() && !poll_alarm(until, now, &mut alarm, timer.as_mut(), cx)
                    {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Whether the time has come; the timer is set anew when it is for another time.
fn poll_alarm(
    until: Option<Instant>,
    now: Instant,
    alarm: &mut Option<Instant>,
    mut timer: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> bool {
    if *alarm != until {
        let duration = until.map(|until| until.saturating_duration_since(now));
        timer.set(duration.map(rt::sleep));
        *alarm = until;
    }
    let has_come = match timer.as_mut().as_pin_mut() {
        Some(timer) => timer.poll(cx).is_ready(),
        None => false,
    };
    if has_come {
        timer.set(None);
        *alarm = None;
    }
    has_come
}

/// The right to drive, given back when the drive ends or is dropped.
pub(super) struct Driver<R: Deref<Target = Core<K, T>>, K, T>(R);

impl<R: Deref<Target = Core<K, T>>, K, T> Driver<R, K, T> {
    pub(super) fn enter(core: R) -> Result<Self, DriveError> {
        let mut state = core.state();
        if state.is_driven {
            return Err(DriveError::AlreadyDriven);
        }
        state.is_driven = true;
        drop(state);
        Ok(Self(core))
    }

    fn set_waker(&self, cx: &mut Context<'_>) {
        let waker = cx.waker().clone();
        let old = self.0.state().set_driver(Some(waker));
        drop(old);
    }

    fn step(&self, now: Instant) -> Step<K, T> {
        let mut forgotten = Vec::new();
        // The mutex is released before the keys are dropped.
        self.0.state().step(now, &mut forgotten)
    }
}

impl<R: Deref<Target = Core<K, T>>, K, T> Drop for Driver<R, K, T> {
    fn drop(&mut self) {
        let now = self.0.now();
        let mut state = self.0.state();
        state.is_driven = false;
        let waker = state.set_driver(None);
        let wakes = state.wakes(now);
        drop(state);
        wakes.wake();
        drop(waker);
    }
}

/// A run in progress; its key has no other until this is dropped.
struct Running<R: Deref<Target = Core<K, T>>, K, T> {
    core: R,
    run: usize,
    has_panicked: bool,
}

impl<R: Deref<Target = Core<K, T>>, K, T> Running<R, K, T> {
    fn begin(core: R, run: usize) -> Self {
        let running = Self {
            core,
            run,
            has_panicked: false,
        };
        trace!(name = running.core.name, "run begins");
        running
    }

    fn panicked(mut self, payload: &(dyn Any + Send)) {
        self.has_panicked = true;
        let core = &self.core;
        core.meters.count("panicked");
        let message = panic_message(payload);
        warn!(name = core.name, %message, "run panicked");
    }
}

impl<R: Deref<Target = Core<K, T>>, K, T> Drop for Running<R, K, T> {
    fn drop(&mut self) {
        let core = &self.core;
        let now = core.now();
        let mut state = core.state();
        state.panics_total += u64::from(self.has_panicked);
        let (ended, forgotten) = state.end(self.run);
        let wakes = state.wakes(now);
        drop(state);
        wakes.wake();
        drop(forgotten);
        let Some(ended) = ended else {
            return;
        };
        let took = now.saturating_duration_since(ended.since);
        if took >= core.long_hold && !ended.is_reported {
            warn!(name = core.name, ?took, "run took long");
        } else {
            trace!(name = core.name, ?took, "run ended");
        }
    }
}

/// The future of a run, whose panic becomes an event.
struct Supervised<Fut, R: Deref<Target = Core<K, T>>, K, T> {
    /// Declared before what is dropped after it.
    future: Option<Pin<Box<Fut>>>,
    running: Option<Running<R, K, T>>,
}

impl<Fut, R: Deref<Target = Core<K, T>>, K, T> Supervised<Fut, R, K, T> {
    fn new(future: Fut, running: Running<R, K, T>) -> Self {
        Self {
            future: Some(Box::pin(future)),
            running: Some(running),
        }
    }
}

impl<Fut, R, K, T> Future for Supervised<Fut, R, K, T>
where
    Fut: Future<Output = ()>,
    R: Deref<Target = Core<K, T>> + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if let Some(future) = &mut this.future {
                std::task::ready!(future.as_mut().poll(cx));
            }
            // Its drop is a part of the run, and may panic too.
            this.future = None;
            Poll::Ready(())
        }));
        match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => this.running = None,
            Err(payload) => {
                let _ = catch_unwind(AssertUnwindSafe(|| this.future = None));
                if let Some(running) = this.running.take() {
                    running.panicked(&*payload);
                }
            }
        }
        Poll::Ready(())
    }
}
