//! The specification of a circuit breaker that opens after failures in a row.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use steadfast_clock::ManualClock;
use steadfast_sync::{BreakerPermit, BreakerState, CircuitBreaker, Verdict};

use super::checker::{History, NotLinearizable, Spec, check};

/// Failures in a row that open the breaker, the seconds for which it is open, and its permits while
/// it is half-open.
const FAILURES: u32 = 2;
const OPEN_FOR: u64 = 2;
const PERMITS: u32 = 2;

#[derive(Clone, Debug)]
enum Call {
    /// The number of the permit, if there was one.
    TryAcquire(Option<usize>),
    Judge {
        permit: usize,
        is_success: bool,
        verdict: Verdict,
    },
    Abandon(usize),
    State(BreakerState),
    Close,
    Isolate,
    /// A second passes.
    Tick,
}

/// A call, and what the clock read when it was invoked: the breaker reads it some time later.
#[derive(Clone, Debug)]
struct Timed {
    since: u64,
    call: Call,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct BreakerSpec {
    now: u64,
    epoch: u64,
    phase: Phase,
    /// The epochs of the permits that are out.
    permits: BTreeMap<usize, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Closed { failures: u32 },
    Open { until: u64 },
    HalfOpen { pending: u32, succeeded: u32 },
    Isolated,
}

impl BreakerSpec {
    fn new() -> Self {
        Self {
            now: 0,
            epoch: 0,
            phase: Phase::Closed { failures: 0 },
            permits: BTreeMap::new(),
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.epoch += 1;
        self.phase = phase;
    }

    fn state(&mut self, now: u64) -> BreakerState {
        if matches!(self.phase, Phase::Open { until } if now >= until) {
            let (pending, succeeded) = (0, 0);
            self.enter(Phase::HalfOpen { pending, succeeded });
        }
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Isolated => BreakerState::Isolated,
        }
    }

    fn admits(&mut self, now: u64) -> bool {
        self.state(now);
        match &mut self.phase {
            Phase::Closed { .. } => true,
            Phase::HalfOpen { pending, succeeded } if *pending + *succeeded < PERMITS => {
                *pending += 1;
                true
            }
            _ => false,
        }
    }

    fn judge(&mut self, now: u64, is_success: bool) {
        let open = Phase::Open {
            until: now + OPEN_FOR,
        };
        match (&mut self.phase, is_success) {
            (Phase::Closed { failures }, true) => *failures = 0,
            (Phase::Closed { failures }, false) => {
                *failures += 1;
                if *failures == FAILURES {
                    self.enter(open);
                }
            }
            (Phase::HalfOpen { pending, succeeded }, true) => {
                *pending -= 1;
                *succeeded += 1;
                if *succeeded == PERMITS {
                    self.enter(Phase::Closed { failures: 0 });
                }
            }
            (Phase::HalfOpen { .. }, false) => self.enter(open),
            // Nobody has a permit of this epoch.
            (Phase::Open { .. } | Phase::Isolated, _) => {}
        }
    }

    /// Does the call as if the clock had read `now`; says whether it can have had its outcome.
    fn does(&mut self, now: u64, call: &Call) -> bool {
        match call {
            Call::TryAcquire(None) => !self.admits(now),
            Call::TryAcquire(Some(permit)) => {
                let admits = self.admits(now);
                self.permits.insert(*permit, self.epoch);
                admits
            }
            Call::Judge {
                permit,
                is_success,
                verdict,
            } => {
                let epoch = self.permits.remove(permit);
                let counts = epoch == Some(self.epoch);
                if counts {
                    self.judge(now, *is_success);
                }
                epoch.is_some() && counts == (*verdict == Verdict::Counted)
            }
            Call::Abandon(permit) => {
                let epoch = self.permits.remove(permit);
                if let Phase::HalfOpen { pending, .. } = &mut self.phase
                    && epoch == Some(self.epoch)
                {
                    *pending -= 1;
                }
                epoch.is_some()
            }
            Call::State(state) => self.state(now) == *state,
            Call::Close => {
                self.enter(Phase::Closed { failures: 0 });
                true
            }
            Call::Isolate => {
                self.enter(Phase::Isolated);
                true
            }
            Call::Tick => {
                self.now += 1;
                true
            }
        }
    }
}

impl Spec for BreakerSpec {
    type Call = Timed;

    fn apply(&self, Timed { since, call }: &Timed) -> Vec<Self> {
        let mut states = Vec::new();
        for now in *since..=self.now {
            let mut next = self.clone();
            if next.does(now, call) && !states.contains(&next) {
                states.push(next);
            }
        }
        states
    }
}

/// A breaker whose operations are recorded.
#[derive(Debug)]
pub(crate) struct RecordedBreaker {
    breaker: CircuitBreaker,
    clock: Arc<ManualClock>,
    seconds: AtomicU64,
    history: History<Timed>,
}

impl RecordedBreaker {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(FAILURES)
            .open_for(Duration::from_secs(OPEN_FOR))
            .half_open_permits(PERMITS)
            // No history is as long as that.
            .half_open_for(Duration::from_secs(1_000_000))
            .clock(clock.clone());
        Self {
            breaker: breaker.build().unwrap(),
            clock,
            seconds: AtomicU64::new(0),
            history: History::new(),
        }
    }

    /// Does one thing, and what a caller does with the permit that it got.
    pub(crate) fn act(&self, what: usize, then: usize) {
        match what {
            0 => self.close(),
            1 => self.isolate(),
            2..4 => self.tick(),
            4 => self.state(),
            _ => {
                let permit = self.try_acquire();
                match (permit, then) {
                    (None, _) => {}
                    (Some(permit), 0) => self.abandon(permit),
                    (Some(permit), then) => self.judge(permit, then > 4),
                }
            }
        }
    }

    /// A permit with its number, to be handed back.
    fn try_acquire(&self) -> Option<(usize, BreakerPermit<'_>)> {
        let (number, since) = self.invoked();
        let permit = self.breaker.try_acquire().ok();
        let call = Call::TryAcquire(permit.as_ref().map(|_| number));
        self.returned(number, since, call);
        permit.map(|permit| (number, permit))
    }

    fn judge(&self, (permit, leave): (usize, BreakerPermit<'_>), is_success: bool) {
        self.record(|| {
            let verdict = if is_success {
                leave.success()
            } else {
                leave.failure()
            };
            Call::Judge {
                permit,
                is_success,
                verdict,
            }
        });
    }

    fn abandon(&self, (permit, leave): (usize, BreakerPermit<'_>)) {
        self.record(|| {
            drop(leave);
            Call::Abandon(permit)
        });
    }

    fn state(&self) {
        self.record(|| Call::State(self.breaker.state()));
    }

    fn close(&self) {
        self.record(|| {
            self.breaker.close();
            Call::Close
        });
    }

    fn isolate(&self) {
        self.record(|| {
            self.breaker.isolate();
            Call::Isolate
        });
    }

    fn tick(&self) {
        self.record(|| {
            self.clock.advance(Duration::from_secs(1));
            self.seconds.fetch_add(1, Ordering::SeqCst);
            Call::Tick
        });
    }

    pub(crate) fn check(self) -> Result<(), NotLinearizable> {
        check(BreakerSpec::new(), self.history.into_operations())
    }

    fn invoked(&self) -> (usize, u64) {
        // The seconds count a tick after the clock has moved: never too late a time.
        (self.history.now(), self.seconds.load(Ordering::SeqCst))
    }

    fn returned(&self, invoked: usize, since: u64, call: Call) {
        self.history.returned(invoked, Timed { since, call });
    }

    fn record(&self, call: impl FnOnce() -> Call) {
        let (invoked, since) = self.invoked();
        let call = call();
        self.returned(invoked, since, call);
    }
}
