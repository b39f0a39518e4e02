use std::time::Duration;

use steadfast_clock::Instant;

/// What the breaker's mutex guards.
#[derive(Debug)]
pub(super) struct State {
    /// Counts the changes of phase; a verdict from another epoch is stale.
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    pub(super) stale_verdicts: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
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

/// The breaker's fixed settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) consecutive_failures: u32,
    pub(super) open_for: Duration,
    pub(super) half_open_permits: u32,
    pub(super) half_open_for: Duration,
}

/// The breaker's answer to a caller.
#[derive(Debug)]
pub(super) enum Admission {
    Admitted { epoch: u64 },
    Refused { retry_after: Option<Duration> },
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            phase: Phase::Closed { failures: 0 },
            stale_verdicts: 0,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.epoch += 1;
        self.phase = phase;
    }

    /// Follows the time: open becomes half-open, and half-open becomes open again when a permit is
    /// out for too long. A half-open breaker that nobody asks waits for no verdict, and stays so.
    pub(super) fn advance(&mut self, now: Instant, settings: &Settings) {
        match self.phase {
            Phase::Open { until } if now >= until => self.enter(Phase::HalfOpen {
                pending: 0,
                succeeded: 0,
                until: now,
            }),
            Phase::HalfOpen { pending, until, .. } if pending > 0 && now >= until => {
                self.enter(Phase::Open {
                    until: now + settings.open_for,
                });
            }
            _ => {}
        }
    }

    pub(super) fn admit(&mut self, now: Instant, settings: &Settings) -> Admission {
        self.advance(now, settings);
        match &mut self.phase {
            Phase::Closed { .. } => Admission::Admitted { epoch: self.epoch },
            Phase::HalfOpen {
                pending,
                succeeded,
                until,
            } if *pending + *succeeded < settings.half_open_permits => {
                if *pending == 0 {
                    *until = now + settings.half_open_for;
                }
                *pending += 1;
                Admission::Admitted { epoch: self.epoch }
            }
            Phase::HalfOpen { until, .. } | Phase::Open { until } => Admission::Refused {
                retry_after: Some(until.saturating_duration_since(now)),
            },
            Phase::Isolated => Admission::Refused { retry_after: None },
        }
    }

    /// Counts a verdict of the present epoch.
    pub(super) fn succeed(&mut self, settings: &Settings) {
        match &mut self.phase {
            Phase::Closed { failures } => *failures = 0,
            Phase::HalfOpen {
                pending, succeeded, ..
            } => {
                *pending = pending.saturating_sub(1);
                *succeeded += 1;
                if *succeeded >= settings.half_open_permits {
                    self.enter(Phase::Closed { failures: 0 });
                }
            }
            Phase::Open { .. } | Phase::Isolated => {}
        }
    }

    /// Counts a verdict of the present epoch.
    pub(super) fn fail(&mut self, now: Instant, settings: &Settings) {
        let until = now + settings.open_for;
        match &mut self.phase {
            Phase::Closed { failures } => {
                *failures += 1;
                if *failures >= settings.consecutive_failures {
                    self.enter(Phase::Open { until });
                }
            }
            Phase::HalfOpen { .. } => self.enter(Phase::Open { until }),
            Phase::Open { .. } | Phase::Isolated => {}
        }
    }

    /// Frees the slot of a permit of the present epoch.
    pub(super) fn abandon(&mut self) {
        if let Phase::HalfOpen { pending, .. } = &mut self.phase {
            *pending = pending.saturating_sub(1);
        }
    }
}
