use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    line::{Desk, Request, Turn},
    settings::Settings,
};
use crate::{
    RateError,
    rt::{self, Sleep},
    timeout::{current_waker, timeout},
    wait_queue::WakeList,
};

/// Where callers wait: a direct limiter, or a key of a keyed one.
pub(super) trait Counter: Sync {
    fn settings(&self) -> &Settings;

    /// Locks line and bucket.
    fn desk<R>(&self, work: impl FnOnce(Desk<'_>) -> R) -> R;
}

/// A place in the line. Dropping it lets the next one move up.
pub(super) struct Place<'a, C: Counter> {
    counter: &'a C,
    /// `None` once it has its units.
    waiter: Option<usize>,
    timer: Option<Timer>,
}

/// What wakes the first in line.
struct Timer {
    /// When its units are there, by the limiter's clock.
    at: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Request {
    pub(super) async fn new(settings: &Settings, units: u32, limit: Option<Duration>) -> Self {
        Self {
            units,
            since: settings.now(),
            limit,
            waker: Some(current_waker().await),
        }
    }
}

impl<'a, C: Counter> Place<'a, C> {
    pub(super) fn new(counter: &'a C, waiter: usize) -> Self {
        Self {
            counter,
            waiter: Some(waiter),
            timer: None,
        }
    }

    /// Waits for the units in turn.
    pub(super) async fn wait(mut self, request: Request) -> Result<(), RateError> {
        let Request { units, limit, .. } = request;
        let Some(limit) = limit else {
            return poll_fn(|cx| self.poll_turn(cx)).await;
        };
        let outcome = timeout(limit, pin!(poll_fn(|cx| self.poll_turn(cx)))).await;
        outcome.unwrap_or_else(|| Err(self.timed_out(units, limit)))
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RateError>> {
        let Some(waiter) = self.waiter else {
            return Poll::Pending;
        };
        loop {
            let mut waker = Some(cx.waker().clone());
            let mut wakes = WakeList::default();
            let now = self.counter.settings().now();
            let turn = self
                .counter
                .desk(|mut desk| desk.turn(waiter, now, &mut waker, &mut wakes));
            if let Turn::Through { .. } = turn {
                // Before anything that may panic, so that the drop does not look for it.
                self.waiter = None;
            }
            wakes.wake();
            drop(waker);
            match turn {
                Turn::Through { units, since } => {
                    let waited = Duration::from_nanos(now.saturating_sub(since));
                    self.counter.settings().report_wait(units, waited);
                    return Poll::Ready(Ok(()));
                }
                Turn::Refused(error) => return Poll::Ready(Err(error)),
                Turn::Behind => {
                    self.timer = None;
                    return Poll::Pending;
                }
                Turn::Short(wait) => {
                    if self.poll_timer(now, wait, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Waits until the units are there, with the timer at hand if that is still the same moment.
    fn poll_timer(&mut self, now: u64, wait: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let at = now.saturating_add(nanos);
        if self.timer.as_ref().is_some_and(|timer| timer.at != at) {
            self.timer = None;
        }
        let timer = self.timer.get_or_insert_with(|| Timer {
            at,
            sleep: Box::pin(rt::sleep(wait)),
        });
        let elapsed = timer.sleep.as_mut().poll(cx);
        if elapsed.is_ready() {
            self.timer = None;
        }
        elapsed
    }

    /// Why the time was over: it took longer than foreseen, because somebody ahead is not polled
    /// or the quota was changed.
    fn timed_out(&self, units: u32, timeout: Duration) -> RateError {
        let settings = self.counter.settings();
        let now = settings.now();
        let more = self.counter.desk(|desk| desk.foresee(now, 0));
        let wait = timeout.saturating_add(more);
        settings.time_out(units, RateError::WouldExceed { wait, timeout })
    }
}

impl<C: Counter> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter else {
            return;
        };
        let (next, unused) = self.counter.desk(|mut desk| desk.give_up(waiter));
        if let Some(next) = next {
            next.wake();
        }
        drop(unused);
    }
}
