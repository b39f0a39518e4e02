use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Poll, Waker},
    time::Duration,
};

/// Waits for a future at most this long; `None` if it is still pending then.
///
/// The first poll comes before the timer is made, so that what is ready at once needs no timer.
pub(crate) async fn timeout<F: Future>(
    timeout: Duration,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Some(output);
    }
    tokio::time::timeout(timeout, future).await.ok()
}

/// A clone of the current task's waker, made where no lock is held.
pub(crate) async fn current_waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}
