//! Any order of operations, against a model that goes from millisecond to millisecond.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use steadfast_sync::{Edges, KeyedDebounce, KeyedPaced, KeyedThrottle};
use tokio::time::{advance, sleep};

use crate::support::{millis, poll};

const KEYS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Op {
    Call(usize),
    Flush(usize),
    Cancel(usize),
    FlushAll,
    CancelAll,
    /// Lets so many milliseconds pass.
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..KEYS).prop_map(Op::Call),
        2 => (0..KEYS).prop_map(Op::Flush),
        2 => (0..KEYS).prop_map(Op::Cancel),
        1 => Just(Op::FlushAll),
        1 => Just(Op::CancelAll),
        12 => (1_u64..12).prop_map(Op::Pass),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    edges: Edges,
    slides: bool,
    wait: u64,
    max_wait: Option<u64>,
    /// How long each run takes.
    busy: u64,
    folds: bool,
}

/// One key: it counts milliseconds down, and its driver is always in time.
#[derive(Default)]
struct Model {
    window_left: u64,
    max_left: Option<u64>,
    busy_left: u64,
    is_flushed: bool,
    leading: Option<u64>,
    held: Option<u64>,
    runs: Vec<u64>,
}

impl Model {
    fn is_pending(&self) -> bool {
        self.leading.is_some() || self.held.is_some()
    }

    fn is_known(&self) -> bool {
        self.is_pending() || self.window_left > 0 || self.busy_left > 0
    }

    fn is_due(&self) -> bool {
        self.held.is_some()
            && (self.is_flushed || self.window_left == 0 || self.max_left == Some(0))
    }

    fn call(&mut self, rules: &Rules, value: u64) {
        if self.window_left == 0 && !self.is_pending() {
            self.window_left = rules.wait;
            if rules.edges != Edges::Trailing {
                self.leading = Some(value);
                return;
            }
        } else if rules.slides && !self.is_due() {
            self.window_left = rules.wait;
        }
        if rules.edges != Edges::Leading {
            self.max_left = self.max_left.or(rules.max_wait);
            let held = self.held.filter(|_| rules.folds).unwrap_or_default();
            self.held = Some(held + value);
        }
    }

    fn cancel(&mut self) {
        *self = Self {
            busy_left: self.busy_left,
            runs: std::mem::take(&mut self.runs),
            ..Self::default()
        };
    }

    fn pass_a_millisecond(&mut self) {
        self.window_left = self.window_left.saturating_sub(1);
        self.busy_left = self.busy_left.saturating_sub(1);
        self.max_left = self.max_left.map(|left| left.saturating_sub(1));
    }

    fn drain(&mut self, rules: &Rules) {
        self.is_flushed = self.held.is_some();
        self.drive(rules);
    }

    fn drive(&mut self, rules: &Rules) {
        while self.busy_left == 0 {
            let value = match self.leading.take() {
                Some(leading) => leading,
                None if self.is_due() => {
                    (self.max_left, self.is_flushed) = (None, false);
                    self.held.take().unwrap()
                }
                None => return,
            };
            self.runs.push(value);
            (self.window_left, self.busy_left) = (rules.wait, rules.busy);
        }
    }
}

async fn agrees<P>(
    pacer: KeyedPaced<usize, u64, P>,
    rules: &Rules,
    ops: &[Op],
) -> Result<(), TestCaseError> {
    let runs = Arc::new(Mutex::new(vec![Vec::new(); KEYS]));
    let mut models: Vec<_> = (0..KEYS).map(|_| Model::default()).collect();
    let mut driver = Box::pin(pacer.drive(|key, value| {
        runs.lock().unwrap()[key].push(value);
        let busy = rules.busy;
        async move {
            if busy > 0 {
                sleep(millis(busy)).await;
            }
        }
    }));
    prop_assert!(poll(&mut driver).is_pending());
    for (bit, op) in ops.iter().enumerate() {
        let times = if let Op::Pass(millis) = *op {
            millis
        } else {
            1
        };
        for _ in 0..times {
            // Sums of different powers of two tell what was folded.
            let value = 1 << (bit % 60);
            match *op {
                Op::Call(key) => {
                    pacer.call(key, value).unwrap();
                    models[key].call(rules, value);
                }
                Op::Flush(key) => {
                    pacer.flush(&key);
                    models[key].is_flushed = models[key].held.is_some();
                }
                Op::Cancel(key) => {
                    pacer.cancel(&key);
                    models[key].cancel();
                }
                Op::FlushAll => {
                    pacer.flush_all();
                    for model in &mut models {
                        model.is_flushed = model.held.is_some();
                    }
                }
                Op::CancelAll => {
                    pacer.cancel_all();
                    models.iter_mut().for_each(Model::cancel);
                }
                Op::Pass(_) => {
                    advance(millis(1)).await;
                    models.iter_mut().for_each(Model::pass_a_millisecond);
                }
            }
            models.iter_mut().for_each(|model| model.drive(rules));
            prop_assert!(poll(&mut driver).is_pending());
            for (key, model) in models.iter().enumerate() {
                prop_assert_eq!(
                    &runs.lock().unwrap()[key],
                    &model.runs,
                    "{} after {:?}",
                    key,
                    op
                );
                prop_assert_eq!(pacer.is_pending(&key), model.is_pending());
            }
            let known = models.iter().filter(|model| model.is_known()).count();
            prop_assert_eq!(pacer.len(), known, "after {:?}", op);
            let seen = pacer.snapshot();
            let pending = models.iter().filter(|model| model.is_pending()).count();
            let running = models.iter().filter(|model| model.busy_left > 0).count();
            prop_assert_eq!((seen.pending, seen.running), (pending, running));
        }
    }
    // The driver stops once it is drained; windows do not keep it.
    let mut close = Box::pin(pacer.close());
    while poll(&mut close).is_pending() && poll(&mut driver).is_pending() {
        for model in &mut models {
            model.drain(rules);
            model.pass_a_millisecond();
        }
        advance(millis(1)).await;
    }
    models.iter_mut().for_each(|model| model.drain(rules));
    for (key, model) in models.iter().enumerate() {
        prop_assert_eq!(
            &runs.lock().unwrap()[key],
            &model.runs,
            "{} at the end",
            key
        );
    }
    drop((driver, close));
    prop_assert_eq!(pacer.close().await, Ok(()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_order_of_calls_flushes_and_cancels_agrees_with_the_model(
        edges in prop::sample::select(vec![Edges::Leading, Edges::Trailing, Edges::Both]),
        slides in any::<bool>(),
        folds in any::<bool>(),
        wait in 1_u64..20,
        more in prop::option::of(0_u64..20),
        busy in prop_oneof![Just(0), 1_u64..30],
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let max_wait = more.map(|more| wait + more).filter(|_| slides);
        let rules = Rules { edges, slides, wait, max_wait, busy, folds };
        runtime.block_on(async {
            if slides {
                let mut builder = KeyedDebounce::builder(millis(wait)).edges(edges);
                if let Some(max_wait) = max_wait {
                    builder = builder.max_wait(millis(max_wait));
                }
                if folds {
                    builder = builder.fold(|a, b| a + b);
                }
                agrees(builder.build().unwrap(), &rules, &ops).await
            } else {
                let mut builder = KeyedThrottle::builder(millis(wait)).edges(edges);
                if folds {
                    builder = builder.fold(|a, b| a + b);
                }
                agrees(builder.build().unwrap(), &rules, &ops).await
            }
        })?;
    }
}
