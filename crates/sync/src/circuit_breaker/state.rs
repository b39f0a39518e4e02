use std::time::Duration;

use steadfast_clock::Instant;

use super::{
    AbandonPolicy, BreakerChange, BreakerReason, BreakerState, Verdict,
    changes::ChangeLog,
    wait::Waits,
    window::{Outcome, Tally, Window, WindowKind},
};

/// The breaker's fixed settings, which make sense together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) consecutive_failures: Option<u32>,
    pub(super) failure_rate: Option<f64>,
    pub(super) slow_calls: Option<SlowCalls>,
    pub(super) window: Option<WindowKind>,
    pub(super) minimum_calls: u32,
    pub(super) open_for: Duration,
    pub(super) open_growth: Option<OpenGrowth>,
    pub(super) half_open_permits: u32,
    pub(super) half_open_for: Duration,
    pub(super) on_abandon: AbandonPolicy,
    pub(super) max_waiters: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SlowCalls {
    pub(super) rate: f64,
    /// A call that takes this long is slow.
    pub(super) after: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OpenGrowth {
    pub(super) factor: f64,
    pub(super) max: Duration,
}

/// What the breaker's mutex guards.
#[derive(Debug)]
pub(super) struct State {
    /// Counts the changes of phase; a verdict from another epoch is stale.
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: Instant,
    /// Failures since the last success, while closed.
    pub(super) consecutive_failures: u32,
    /// The verdicts while closed; kept until it closes again.
    pub(super) window: Option<Window>,
    /// How long it stays open the next time.
    open_for: Duration,
    pub(super) opened: u64,
    pub(super) rejected: u64,
    pub(super) stale_verdicts: u64,
    pub(super) log: ChangeLog,
    pub(super) waits: Waits,
    /// The breaker was dropped; nothing changes any more.
    pub(super) is_dropped: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        /// Permits that are out.
        pending: u32,
        /// Permits that came back with a success.
        succeeded: u32,
        /// When the permits that are out are given up; of no meaning while none is.
        until: Instant,
    },
    Isolated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Success,
    Failure,
    /// There is no verdict, on purpose.
    Ignored,
    /// There is no verdict.
    Abandoned,
}

impl Settings {
    /// Whether a verdict needs the time even if it is good and the breaker closed.
    pub(super) fn is_timed(&self) -> bool {
        self.slow_calls.is_some() || matches!(self.window, Some(WindowKind::Time(_)))
    }

    pub(super) fn is_failure(&self, judgement: Judgement) -> bool {
        match judgement {
            Judgement::Failure => true,
            Judgement::Abandoned => self.on_abandon == AbandonPolicy::Failure,
            Judgement::Success | Judgement::Ignored => false,
        }
    }

    fn is_slow(&self, took: Duration) -> bool {
        self.slow_calls.is_some_and(|slow| took >= slow.after)
    }

    /// The rate that is too high, if one is.
    fn exceeded(&self, tally: Tally) -> Option<BreakerReason> {
        let Tally {
            calls,
            failures,
            slow,
        } = tally;
        if calls < u64::from(self.minimum_calls) {
            return None;
        }
        // Divided, since the quotient of 7 and 100 is what `0.07` is, and 0.07 times 100 is not 7.
        let rate = |part: u64| part as f64 / calls as f64;
        if self.failure_rate.is_some_and(|max| rate(failures) >= max) {
            return Some(BreakerReason::FailureRate { failures, calls });
        }
        let slow_calls = self.slow_calls.filter(|max| rate(slow) >= max.rate);
        slow_calls.map(|_| BreakerReason::SlowCallRate {
            slow_calls: slow,
            calls,
        })
    }
}

impl State {
    pub(super) fn new(now: Instant, settings: &Settings) -> Self {
        Self {
            epoch: 0,
            phase: Phase::Closed,
            since: now,
            consecutive_failures: 0,
            window: settings.window.map(|kind| Window::new(kind, now)),
            open_for: settings.open_for,
            opened: 0,
            rejected: 0,
            stale_verdicts: 0,
            log: ChangeLog::default(),
            waits: Waits::new(),
            is_dropped: false,
        }
    }

    pub(super) fn name(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Isolated => BreakerState::Isolated,
        }
    }

    /// Closed with nothing counted, and with the first open time again.
    pub(super) fn close(&mut self, now: Instant, settings: &Settings, reason: BreakerReason) {
        self.consecutive_failures = 0;
        self.open_for = settings.open_for;
        if let Some(window) = &mut self.window {
            window.clear();
        }
        self.enter(Phase::Closed, now, reason);
    }

    /// Nothing new for a breaker that is isolated.
    pub(super) fn isolate(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Isolated) {
            self.enter(Phase::Isolated, now, BreakerReason::ByHand);
        }
    }

    #[cold]
    fn open(&mut self, now: Instant, settings: &Settings, reason: BreakerReason) {
        let until = now + self.open_for;
        if let Some(OpenGrowth { factor, max }) = settings.open_growth {
            let grown = Duration::try_from_secs_f64(self.open_for.as_secs_f64() * factor);
            self.open_for = grown.map_or(max, |grown| grown.min(max));
        }
        self.opened += 1;
        self.enter(Phase::Open { until }, now, reason);
    }

    fn enter(&mut self, phase: Phase, now: Instant, reason: BreakerReason) {
        let from = self.name();
        self.epoch += 1;
        self.phase = phase;
        self.since = now;
        self.log.push(BreakerChange {
            from,
            to: self.name(),
            epoch: self.epoch,
            at: now,
            reason,
        });
    }

    /// Follows the time: open becomes half-open, and half-open becomes open again when a permit is
    /// out for too long. A half-open breaker that nobody asks waits for no verdict, and stays so.
    pub(super) fn advance(&mut self, now: Instant, settings: &Settings) {
        match self.phase {
            Phase::Open { until } if now >= until => {
                let phase = Phase::HalfOpen {
                    pending: 0,
                    succeeded: 0,
                    until: now,
                };
                self.enter(phase, now, BreakerReason::OpenTimeOver);
            }
            Phase::HalfOpen { pending, until, .. } if pending > 0 && now >= until => {
                self.open(now, settings, BreakerReason::ProbeOverdue);
            }
            _ => {}
        }
    }

    /// When the time changes the state, if nothing else does before.
    pub(super) fn changes_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::HalfOpen { pending, until, .. } => (pending > 0).then_some(until),
            Phase::Closed | Phase::Isolated => None,
        }
    }

    /// Whether the next caller is let through.
    pub(super) fn admits(&self, settings: &Settings) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::HalfOpen {
                pending, succeeded, ..
            } => pending + succeeded < settings.half_open_permits,
            Phase::Open { .. } | Phase::Isolated => false,
        }
    }

    /// Lets a caller through in this epoch, or says in how long to ask again.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        settings: &Settings,
    ) -> Result<u64, Option<Duration>> {
        self.advance(now, settings);
        if !self.admits(settings) {
            self.rejected += 1;
            return Err(self.retry_after(now));
        }
        if let Phase::HalfOpen { pending, until, .. } = &mut self.phase {
            if *pending == 0 {
                *until = now + settings.half_open_for;
            }
            *pending += 1;
        }
        Ok(self.epoch)
    }

    /// In how long the state changes by itself.
    pub(super) fn retry_after(&self, now: Instant) -> Option<Duration> {
        self.changes_at()
            .map(|at| at.saturating_duration_since(now))
    }

    /// Counts a verdict on a call that was let through in that epoch. What may change the state
    /// comes with the time, `now`; how long the call took is known if that is looked at.
    #[inline]
    pub(super) fn judge(
        &mut self,
        epoch: u64,
        judgement: Judgement,
        took: Duration,
        now: Option<Instant>,
        settings: &Settings,
    ) -> Verdict {
        if self.epoch != epoch {
            let is_verdict = matches!(judgement, Judgement::Success | Judgement::Failure);
            self.stale_verdicts += u64::from(is_verdict);
            return Verdict::Stale;
        }
        let outcome = Outcome {
            failed: settings.is_failure(judgement),
            slow: settings.is_slow(took),
        };
        let counts = outcome.failed || judgement == Judgement::Success;
        match (&mut self.phase, now) {
            (Phase::Closed, now) if counts => self.count(outcome, now, settings),
            (Phase::HalfOpen { pending, .. }, Some(now)) => {
                *pending -= 1;
                if counts {
                    self.probed(outcome, took, now, settings);
                }
            }
            _ => {}
        }
        Verdict::Counted
    }

    /// Counts a call while closed; only one that failed or was slow can open the breaker.
    #[inline]
    fn count(&mut self, outcome: Outcome, now: Option<Instant>, settings: &Settings) {
        if outcome.failed {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        } else {
            self.consecutive_failures = 0;
        }
        if let Some(window) = &mut self.window {
            window.record(outcome, now);
        }
        if let Some(now) = now
            && (outcome.failed || outcome.slow)
            && let Some(reason) = self.tripped(now, settings)
        {
            self.open(now, settings, reason);
        }
    }

    /// The condition that is met, if one is.
    #[cold]
    fn tripped(&mut self, now: Instant, settings: &Settings) -> Option<BreakerReason> {
        let failures = self.consecutive_failures;
        if settings
            .consecutive_failures
            .is_some_and(|max| failures >= max)
        {
            return Some(BreakerReason::ConsecutiveFailures { failures });
        }
        let tally = self.window.as_mut()?.tally(now);
        settings.exceeded(tally)
    }

    /// Takes the verdict on a call that was let through half-open.
    #[cold]
    fn probed(&mut self, outcome: Outcome, took: Duration, now: Instant, settings: &Settings) {
        if outcome.failed {
            return self.open(now, settings, BreakerReason::ProbeFailed);
        }
        if outcome.slow {
            return self.open(now, settings, BreakerReason::ProbeSlow { took });
        }
        if let Phase::HalfOpen { succeeded, .. } = &mut self.phase {
            *succeeded += 1;
            if *succeeded >= settings.half_open_permits {
                self.close(now, settings, BreakerReason::ProbesSucceeded);
            }
        }
    }
}
