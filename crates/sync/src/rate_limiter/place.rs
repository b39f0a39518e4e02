use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    line::{Caller, Desk, Progress, Request},
    settings::Settings,
};
use crate::{
    RateError,
    rt::{self, Sleep},
    timeout::{Patience, current_waker, timeout},
    turn::{Turn, turn},
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
    pub(super) async fn new(
        settings: &Settings,
        units: u32,
        patience: Option<Patience>,
        caller: Caller,
    ) -> Self {
        Self {
            units,
            since: settings.now(),
            caller,
            limit: patience.map(|patience| patience.left(&*settings.clock)),
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
        let grace = self.counter.settings().thresholds.grace;
        let Some(limit) = request.limit else {
            return turn(&mut self, grace).await;
        };
        let outcome = timeout(limit, pin!(turn(&mut self, grace))).await;
        outcome.unwrap_or_else(|| Err(self.timed_out(&request, limit)))
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
    fn timed_out(&self, request: &Request, timeout: Duration) -> RateError {
        let settings = self.counter.settings();
        let now = settings.now();
        let more = self.counter.desk(|desk| desk.foresee(now, 0));
        let wait = timeout.saturating_add(more);
        let error = RateError::WouldExceed { wait, timeout };
        settings.time_out(request.units, request.caller, error)
    }
}

impl<C: Counter> Turn for Place<'_, C> {
    type Outcome = Result<(), RateError>;

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Self::Outcome> {
        let Some(waiter) = self.waiter else {
            return Poll::Pending;
        };
        let settings = self.counter.settings();
        let long_wait = settings.thresholds.long_wait;
        loop {
            let mut waker = Some(cx.waker().clone());
            let mut wakes = WakeList::default();
            let now = settings.now();
            let progress = self
                .counter
                .desk(|mut desk| desk.turn(waiter, now, long_wait, &mut waker, &mut wakes));
            if let Progress::Through { .. } = progress {
                // Before anything that may panic, so that the drop does not look for it.
                self.waiter = None;
            }
            wakes.wake();
            drop(waker);
            match progress {
                Progress::Through {
                    units,
                    waited,
                    overdue,
                } => {
                    settings.report_wait(units, waited, overdue);
                    return Poll::Ready(Ok(()));
                }
                Progress::Refused(error) => return Poll::Ready(Err(error)),
                Progress::Behind => {
                    self.timer = None;
                    return Poll::Pending;
                }
                Progress::Short(wait) => {
                    if self.poll_timer(now, wait, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn look_ahead(&self) -> Duration {
        let settings = self.counter.settings();
        let now = settings.now();
        let thresholds = &settings.thresholds;
        let (look, next_look) = self
            .counter
            .desk(|mut desk| desk.look_ahead(now, thresholds));
        settings.settle(look);
        next_look
    }
}

impl<C: Counter> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter else {
            return;
        };
        let now = self.counter.settings().now();
        let (next, unused) = self.counter.desk(|mut desk| desk.give_up(waiter, now));
        if let Some(next) = next {
            next.wake();
        }
        drop(unused);
    }
}
