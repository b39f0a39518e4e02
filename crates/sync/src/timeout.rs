use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Poll, Waker},
    time::Duration,
};

use steadfast_clock::{Clock, Instant};

use crate::rt;

/// How long a caller is ready to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// From the moment at which it begins to wait.
    For(Duration),
    Until(Instant),
}

impl Patience {
    /// What is left of it when the wait begins. Who does not wait need not ask.
    pub(crate) fn left(self, clock: &dyn Clock) -> Duration {
        match self {
            Patience::For(duration) => duration,
            Patience::Until(deadline) => deadline.saturating_duration_since(clock.monotonic()),
        }
    }
}

/// Waits for a future at most this long; `None` if it is still pending then.
///
/// What is ready at once needs no timer, and neither does a limit of zero. Later polls look at the
/// timer first, so that a future that uses up tokio's cooperative budget cannot hide the end of its
/// time; a future that is ready in the same poll still wins.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: Pin<&mut F>) -> Option<F::Output> {
    timeout_from_pending(|| limit, future).await
}

/// As [`timeout`], with a limit that is asked for only once the future is pending.
pub(crate) async fn timeout_from_pending<F: Future>(
    limit: impl FnOnce() -> Duration,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let mut limit = Some(limit);
    let mut timer = pin!(None);
    poll_fn(|cx| {
        let timed_out = match timer.as_mut().as_pin_mut() {
            Some(timer) => Future::poll(timer, cx).is_ready(),
            None => false,
        };
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if timed_out {
            return Poll::Ready(None);
        }
        if let Some(limit) = limit.take() {
            let limit = limit();
            if limit.is_zero() {
                return Poll::Ready(None);
            }
            timer.set(Some(rt::sleep(limit)));
            if let Some(timer) = timer.as_mut().as_pin_mut() {
                return timer.poll(cx).map(|()| None);
            }
        }
        Poll::Pending
    })
    .await
}

/// A clone of the current task's waker, made where no lock is held.
pub(crate) async fn current_waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}
