//! A harness that drops a future at each of its polls, for tests of what is built on these
//! primitives. Feature `test-util`.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

/// Polls after which the harness takes a future for one that never ends.
pub const MAX_POLLS: usize = 10_000;

/// Drops a future at each of its polls and checks that nothing stays behind.
///
/// For k = 0, 1, 2, … it makes the future anew with `make`, polls it k times, each time when it
/// was woken, drops it, and calls `check` with k. It ends with the k at which the future is ready
/// before its k-th poll is over, after a check of that too, and returns the number of polls that
/// the future took. `make` gets k as well.
///
/// # Panics
///
/// If the future is not ready after [`MAX_POLLS`] polls, and where `make` or `check` panics.
///
/// # Cancel safety
///
/// Dropping it drops the future at whichever poll it has got to.
///
/// # Examples
///
/// ```
/// use steadfast_sync::{AsyncLock, test_util::cancel_at_every_poll};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let lock = AsyncLock::new();
/// let polls = cancel_at_every_poll(
///     |_| async { drop(lock.lock("key").await) },
///     |polls| assert!(!lock.is_locked(&"key"), "left locked at poll {polls}"),
/// );
/// assert_eq!(polls.await, 1);
/// # }
/// ```
pub async fn cancel_at_every_poll<Fut: Future>(
    mut make: impl FnMut(usize) -> Fut,
    mut check: impl FnMut(usize),
) -> usize {
    for polls in 0..=MAX_POLLS {
        let is_ready = poll_times(make(polls), polls).await;
        check(polls);
        if is_ready {
            return polls;
        }
    }
    panic!("the future is not ready after {MAX_POLLS} polls");
}

/// Polls a future so many times, then drops it; says whether it was ready by then.
async fn poll_times<Fut: Future>(future: Fut, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polled == polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn future_is_dropped_once_at_each_of_its_polls() {
        let checks = Cell::new(0);
        let polls = cancel_at_every_poll(
            |_| async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            },
            |polls| {
                assert_eq!(checks.get(), polls);
                checks.set(polls + 1);
            },
        );
        assert_eq!(polls.await, 4);
        assert_eq!(checks.get(), 5);
    }

    #[tokio::test]
    #[should_panic(expected = "residue at 2")]
    async fn residue_at_one_poll_is_found() {
        struct Leak<'a>(&'a Cell<bool>, Cell<usize>);
        impl Drop for Leak<'_> {
            fn drop(&mut self) {
                self.0.set(self.1.get() == 2);
            }
        }
        let leaked = Cell::new(false);
        cancel_at_every_poll(
            |_| async {
                let leak = Leak(&leaked, Cell::new(1));
                tokio::task::yield_now().await;
                leak.1.set(2);
                tokio::task::yield_now().await;
                leak.1.set(3);
            },
            |polls| assert!(!leaked.get(), "residue at {polls}"),
        )
        .await;
    }
}
