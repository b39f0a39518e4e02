//! Any order of operations, against a sequential model.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use steadfast_sync::Edges;
use tokio::time::advance;

use super::{Pacer, debounce, throttle};
use crate::support::{millis, poll};

#[derive(Clone, Copy, Debug)]
enum Op {
    Call,
    Flush,
    Cancel,
    /// Lets so many milliseconds pass.
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Call),
        1 => Just(Op::Flush),
        1 => Just(Op::Cancel),
        6 => (1_u64..12).prop_map(Op::Pass),
    ]
}

/// The sequential model: it counts milliseconds down, and its driver is always in time.
struct Model {
    wait: u64,
    max_wait: Option<u64>,
    slides: bool,
    edges: Edges,
    window_left: u64,
    max_left: Option<u64>,
    held: Option<u32>,
    runs: Vec<u32>,
}

impl Model {
    fn run(&mut self, value: u32) {
        self.runs.push(value);
        (self.held, self.max_left, self.window_left) = (None, None, self.wait);
    }

    fn apply(&mut self, op: Op, value: u32) {
        match op {
            Op::Call if self.window_left == 0 && self.edges != Edges::Trailing => self.run(value),
            Op::Call => {
                if self.window_left == 0 || self.slides {
                    self.window_left = self.wait;
                }
                if self.edges != Edges::Leading {
                    self.max_left = self.max_left.or(self.max_wait);
                    self.held = Some(value);
                }
            }
            Op::Flush => {
                if let Some(value) = self.held {
                    self.run(value);
                }
            }
            Op::Cancel => (self.held, self.max_left, self.window_left) = (None, None, 0),
            Op::Pass(_) => {
                self.window_left = self.window_left.saturating_sub(1);
                self.max_left = self.max_left.map(|left| left.saturating_sub(1));
                if let Some(value) = self.held
                    && (self.window_left == 0 || self.max_left == Some(0))
                {
                    self.run(value);
                }
            }
        }
    }
}

async fn agrees(pacer: impl Pacer, mut model: Model, ops: &[Op]) -> Result<(), TestCaseError> {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let mut driver = pacer.drive(|value| {
        runs.lock().unwrap().push(value);
        async {}
    });
    prop_assert!(poll(&mut driver).is_pending());
    for (value, op) in (0..).zip(ops) {
        let millis_to_pass = match op {
            Op::Pass(millis) => *millis,
            _ => 1,
        };
        for _ in 0..millis_to_pass {
            match op {
                Op::Call => pacer.call(value).unwrap(),
                Op::Flush => pacer.flush(),
                Op::Cancel => pacer.cancel(),
                Op::Pass(_) => advance(millis(1)).await,
            }
            model.apply(*op, value);
            prop_assert!(poll(&mut driver).is_pending());
            prop_assert_eq!(&*runs.lock().unwrap(), &model.runs, "after {:?}", op);
            prop_assert_eq!(pacer.is_pending(), model.held.is_some());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_order_of_calls_flushes_and_cancels_agrees_with_the_model(
        edges in prop::sample::select(vec![Edges::Leading, Edges::Trailing, Edges::Both]),
        slides in any::<bool>(),
        wait in 1_u64..20,
        more in prop::option::of(0_u64..20),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let max_wait = more.map(|more| wait + more).filter(|_| slides);
        let model = Model {
            wait, max_wait, slides, edges,
            window_left: 0, max_left: None, held: None, runs: Vec::new(),
        };
        runtime.block_on(async {
            if slides {
                agrees(debounce(edges, wait, max_wait), model, &ops).await
            } else {
                agrees(throttle(edges, wait), model, &ops).await
            }
        })?;
    }
}
