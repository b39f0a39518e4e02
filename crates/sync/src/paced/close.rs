use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use super::{core::Core, state::Standing};
use crate::CloseError;

/// Refuses further calls and waits until what is pending has been run.
pub(super) async fn close<K, T>(core: &Core<K, T>) -> Result<(), CloseError>
where
    K: Send + Sync,
    T: Send,
{
    refuse_calls(core);
    let mut closer = Closer { core, place: None };
    poll_fn(|cx| closer.poll(cx)).await
}

fn refuse_calls<K, T>(core: &Core<K, T>) {
    let now = core.now();
    let mut state = core.state();
    state.is_closed = true;
    let wakes = state.wakes(now);
    drop(state);
    wakes.wake();
}

/// One who waits for the end of all runs.
struct Closer<'a, K, T> {
    core: &'a Core<K, T>,
    place: Option<usize>,
}

impl<K, T> Closer<'_, K, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseError>> {
        let waker = cx.waker().clone();
        let mut state = self.core.state();
        let (outcome, unused) = match (state.standing(), self.place) {
            (Standing::Drained, _) => (Poll::Ready(Ok(())), Some(waker)),
            (Standing::NotDriven, _) => (Poll::Ready(Err(CloseError::NotDriven)), Some(waker)),
            (Standing::Busy, Some(place)) => (Poll::Pending, state.set_closer(place, waker)),
            (Standing::Busy, None) => {
                self.place = Some(state.add_closer(waker));
                (Poll::Pending, None)
            }
        };
        drop(state);
        drop(unused);
        outcome
    }
}

impl<K, T> Drop for Closer<'_, K, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.core.state().remove_closer(place);
            drop(waker);
        }
    }
}
