//! The breaker against a model that keeps every verdict and counts anew each time.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use steadfast_clock::ManualClock;
use steadfast_sync::{AbandonPolicy, BreakerPermit, BreakerState, CircuitBreaker, Verdict};

use crate::support::{EPOCH, millis};

const SLOW_AFTER: u64 = 5;
const OPEN_FOR: u64 = 20;
const HALF_OPEN_FOR: u64 = 15;
const MAX_OPEN_FOR: u64 = 70;

#[derive(Clone, Copy, Debug)]
enum Window {
    Count(u32),
    /// Steps of so many milliseconds, ten of them.
    Time(u64),
}

#[derive(Clone, Copy, Debug)]
struct Config {
    consecutive: Option<u32>,
    failure_rate: Option<f64>,
    slow_rate: Option<f64>,
    window: Window,
    minimum: u32,
    growth: bool,
    permits: u32,
    abandon: AbandonPolicy,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    Judge(usize, Judgement),
    Pass(u64),
    Close,
    Isolate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Judgement {
    Success,
    Failure,
    Ignore,
    Drop,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open {
        until: u64,
    },
    HalfOpen {
        since_first_out: u64,
        succeeded: u32,
    },
    Isolated,
}

struct Model {
    config: Config,
    now: u64,
    epoch: u64,
    phase: Phase,
    /// When, failed, slow; since it last closed.
    verdicts: Vec<(u64, bool, bool)>,
    /// Times that it opened since it was last closed.
    openings: u32,
    /// Epoch and time of the permits that are out.
    out: Vec<(u64, u64)>,
    opened: u64,
    rejected: u64,
    stale: u64,
}

impl Model {
    fn pending(&self) -> u32 {
        let pending = self.out.iter().filter(|(epoch, _)| *epoch == self.epoch);
        pending.count() as u32
    }

    fn enter(&mut self, phase: Phase) {
        self.epoch += 1;
        self.phase = phase;
        match phase {
            Phase::Closed => {
                self.verdicts.clear();
                self.openings = 0;
            }
            Phase::Open { .. } => {
                self.openings += 1;
                self.opened += 1;
            }
            Phase::HalfOpen { .. } | Phase::Isolated => {}
        }
    }

    fn open(&mut self) {
        let mut open_for = OPEN_FOR;
        if self.config.growth {
            for _ in 0..self.openings {
                open_for = (open_for * 2).min(MAX_OPEN_FOR);
            }
        }
        self.enter(Phase::Open {
            until: self.now + open_for,
        });
    }

    fn advance(&mut self) {
        match self.phase {
            Phase::Open { until } if self.now >= until => self.enter(Phase::HalfOpen {
                since_first_out: 0,
                succeeded: 0,
            }),
            Phase::HalfOpen {
                since_first_out, ..
            } if self.pending() > 0 && self.now >= since_first_out + HALF_OPEN_FOR => self.open(),
            _ => {}
        }
    }

    fn acquire(&mut self) -> Result<(), Option<Duration>> {
        self.advance();
        let pending = self.pending();
        let refused = match &mut self.phase {
            Phase::Closed => None,
            Phase::Open { until } => Some(Some(*until)),
            Phase::Isolated => Some(None),
            Phase::HalfOpen {
                since_first_out,
                succeeded,
            } => {
                if pending == 0 {
                    *since_first_out = self.now;
                }
                let is_full = pending + *succeeded == self.config.permits;
                is_full.then_some(Some(*since_first_out + HALF_OPEN_FOR))
            }
        };
        if let Some(until) = refused {
            self.rejected += 1;
            return Err(until.map(|until| millis(until - self.now)));
        }
        self.out.push((self.epoch, self.now));
        Ok(())
    }

    /// Calls, failures and slow calls in the window.
    fn tally(&self) -> (u64, u64, u64) {
        let counted = self.verdicts.iter().rev().enumerate();
        let counted: Vec<_> = counted
            .filter(|(index, (at, ..))| match self.config.window {
                Window::Count(calls) => *index < calls as usize,
                Window::Time(step) => self.now / step - at / step < 10,
            })
            .map(|(_, verdict)| verdict)
            .collect();
        let failures = counted.iter().filter(|verdict| verdict.1).count();
        let slow = counted.iter().filter(|verdict| verdict.2).count();
        (counted.len() as u64, failures as u64, slow as u64)
    }

    fn trips(&self) -> bool {
        let in_a_row = self
            .verdicts
            .iter()
            .rev()
            .take_while(|(_, failed, _)| *failed);
        let in_a_row = in_a_row.count() as u32;
        let (calls, failures, slow) = self.tally();
        let rate = |part: u64| part as f64 / calls as f64;
        let enough = calls >= u64::from(self.config.minimum);
        let config = self.config;
        config.consecutive.is_some_and(|max| in_a_row >= max)
            || enough && config.failure_rate.is_some_and(|max| rate(failures) >= max)
            || enough && config.slow_rate.is_some_and(|max| rate(slow) >= max)
    }

    fn judge(&mut self, index: usize, judgement: Judgement) -> Verdict {
        let (epoch, at) = self.out.remove(index);
        if epoch != self.epoch {
            let is_verdict = matches!(judgement, Judgement::Success | Judgement::Failure);
            self.stale += u64::from(is_verdict);
            return Verdict::Stale;
        }
        let is_drop = judgement == Judgement::Drop;
        let failed = judgement == Judgement::Failure
            || is_drop && self.config.abandon == AbandonPolicy::Failure;
        if !failed && judgement != Judgement::Success {
            return Verdict::Counted;
        }
        let slow = self.config.slow_rate.is_some() && self.now - at >= SLOW_AFTER;
        match &mut self.phase {
            Phase::Closed => {
                self.verdicts.push((self.now, failed, slow));
                if (failed || slow) && self.trips() {
                    self.open();
                }
            }
            Phase::HalfOpen { .. } if failed || slow => self.open(),
            Phase::HalfOpen { succeeded, .. } => {
                *succeeded += 1;
                if *succeeded == self.config.permits {
                    self.enter(Phase::Closed);
                }
            }
            Phase::Open { .. } | Phase::Isolated => unreachable!("nobody is let through"),
        }
        Verdict::Counted
    }

    fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Isolated => BreakerState::Isolated,
        }
    }
}

fn configs() -> impl Strategy<Value = Config> {
    let rate = || prop::option::of(prop::sample::select(vec![0.2, 0.5, 0.7, 1.0]));
    let window = prop_oneof![
        (1..9_u32).prop_map(Window::Count),
        (1..8_u64).prop_map(Window::Time)
    ];
    let abandon = prop::sample::select(vec![AbandonPolicy::Ignore, AbandonPolicy::Failure]);
    let conditions = (prop::option::of(1..5_u32), rate(), rate());
    (
        conditions,
        window,
        1..6_u32,
        any::<bool>(),
        1..4_u32,
        abandon,
    )
        .prop_map(
            |(
                (consecutive, failure_rate, slow_rate),
                window,
                minimum,
                growth,
                permits,
                abandon,
            )| {
                let none = failure_rate.is_none() && slow_rate.is_none();
                Config {
                    consecutive: consecutive.or(none.then_some(5)),
                    failure_rate,
                    slow_rate,
                    minimum: match window {
                        Window::Count(calls) => minimum.min(calls),
                        Window::Time(_) => minimum,
                    },
                    window,
                    growth,
                    permits,
                    abandon,
                }
            },
        )
}

fn steps() -> impl Strategy<Value = Step> {
    let judgement = prop::sample::select(vec![
        Judgement::Success,
        Judgement::Success,
        Judgement::Failure,
        Judgement::Failure,
        Judgement::Ignore,
        Judgement::Drop,
    ]);
    prop_oneof![
        10 => Just(Step::Acquire),
        10 => (any::<prop::sample::Index>(), judgement)
            .prop_map(|(index, judgement)| Step::Judge(index.index(1_000), judgement)),
        4 => (0..8_u64).prop_map(Step::Pass),
        1 => (0..40_u64).prop_map(Step::Pass),
        1 => Just(Step::Close),
        1 => Just(Step::Isolate),
    ]
}

fn build(config: Config, clock: Arc<ManualClock>) -> CircuitBreaker {
    let mut builder = CircuitBreaker::builder()
        .minimum_calls(config.minimum)
        .open_for(millis(OPEN_FOR))
        .half_open_for(millis(HALF_OPEN_FOR))
        .half_open_permits(config.permits)
        .on_abandon(config.abandon)
        .clock(clock);
    builder = match config.window {
        Window::Count(calls) => builder.count_window(calls),
        Window::Time(step) => builder.time_window(millis(10 * step)),
    };
    if let Some(failures) = config.consecutive {
        builder = builder.consecutive_failures(failures);
    }
    if let Some(rate) = config.failure_rate {
        builder = builder.failure_rate(rate);
    }
    if let Some(rate) = config.slow_rate {
        builder = builder.slow_call_rate(rate, millis(SLOW_AFTER));
    }
    if config.growth {
        builder = builder.open_growth(2.0, millis(MAX_OPEN_FOR));
    }
    builder.build().unwrap()
}

fn judge(permit: BreakerPermit<'_>, judgement: Judgement) -> Option<Verdict> {
    match judgement {
        Judgement::Success => Some(permit.success()),
        Judgement::Failure => Some(permit.failure()),
        Judgement::Ignore => Some(permit.ignore()),
        Judgement::Drop => {
            drop(permit);
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn breaker_does_what_the_model_does(
        config in configs(),
        steps in prop::collection::vec(steps(), 0..120),
    ) {
        let clock = Arc::new(ManualClock::new(EPOCH));
        let breaker = build(config, clock.clone());
        let mut permits = Vec::new();
        let mut model = Model {
            config,
            now: 0,
            epoch: 0,
            phase: Phase::Closed,
            verdicts: Vec::new(),
            openings: 0,
            out: Vec::new(),
            opened: 0,
            rejected: 0,
            stale: 0,
        };
        for step in steps {
            match step {
                Step::Acquire => {
                    let admission = breaker.try_acquire().map_err(|open| open.retry_after);
                    let expected = model.acquire();
                    prop_assert_eq!(admission.as_ref().map(|_| ()), expected.as_ref().copied());
                    permits.extend(admission);
                }
                Step::Judge(index, judgement) if !permits.is_empty() => {
                    let index = index % permits.len();
                    let expected = model.judge(index, judgement);
                    if let Some(verdict) = judge(permits.remove(index), judgement) {
                        prop_assert_eq!(verdict, expected);
                    }
                }
                Step::Judge(..) => {}
                Step::Pass(time) => {
                    model.now += time;
                    clock.advance(millis(time));
                }
                Step::Close => {
                    model.enter(Phase::Closed);
                    breaker.close();
                }
                Step::Isolate => {
                    if !matches!(model.phase, Phase::Isolated) {
                        model.enter(Phase::Isolated);
                    }
                    breaker.isolate();
                }
            }
            // A look follows the time, so it is not taken after each step.
            if !model.now.is_multiple_of(3) {
                continue;
            }
            model.advance();
            let seen = breaker.snapshot();
            prop_assert_eq!(seen.state, model.state());
            prop_assert_eq!(seen.epoch, model.epoch);
            prop_assert_eq!((seen.calls, seen.failures, seen.slow_calls), model.tally());
            prop_assert_eq!(
                (seen.opened, seen.rejected, seen.stale_verdicts),
                (model.opened, model.rejected, model.stale)
            );
            if seen.state == BreakerState::HalfOpen {
                prop_assert_eq!(seen.half_open_pending, model.pending());
            }
        }
    }
}
