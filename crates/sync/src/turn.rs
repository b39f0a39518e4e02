use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::rt::{self, Sleep};

/// A place in a queue.
pub(crate) trait Turn {
    type Outcome;

    /// Takes what was granted, or waits for it.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Self::Outcome>;

    /// Looks whether what was granted to those ahead lies unclaimed, tells of it and revokes it if
    /// the primitive does that; says after how long to look again.
    fn look_ahead(&self) -> Duration;
}

/// Waits for a place's turn, and looks ahead after each `grace`, if there is one.
///
/// A waiter that was granted something and is not polled keeps it from the others. It cannot be
/// woken, for it has been; so those behind it look after it, each by a timer of its own. The timer
/// costs more than a hand-off, hence there is none unless the builder asked for it.
pub(crate) async fn turn<T: Turn>(place: &mut T, grace: Option<Duration>) -> T::Outcome {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        loop {
            // First, lest it takes its own grant for one that nobody claims.
            if let Poll::Ready(outcome) = place.poll_turn(cx) {
                return Poll::Ready(outcome);
            }
            let next_look = if let Some(timer) = &mut timer {
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                place.look_ahead()
            } else if let Some(grace) = grace {
                grace
            } else {
                return Poll::Pending;
            };
            timer = Some(Box::pin(rt::sleep(next_look)));
        }
    })
    .await
}
