//! Any order of calls, polls, drops and resets agrees with a sequential model.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
};

use proptest::prelude::*;
use steadfast_sync::{InitCell, InitError, InitState};

use crate::support::{Boxed, poll};

#[derive(Clone, Debug)]
enum Step {
    Call {
        caller: usize,
        exclusive: bool,
    },
    Poll {
        caller: usize,
    },
    Drop {
        caller: usize,
    },
    /// The attempt in flight, if any, may end like this.
    Release {
        is_ok: bool,
    },
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let caller = 0_usize..4;
    prop_oneof![
        4 => (caller.clone(), any::<bool>())
            .prop_map(|(caller, exclusive)| Step::Call { caller, exclusive }),
        4 => caller.clone().prop_map(|caller| Step::Poll { caller }),
        2 => caller.prop_map(|caller| Step::Drop { caller }),
        3 => any::<bool>().prop_map(|is_ok| Step::Release { is_ok }),
        1 => Just(Step::Reset),
    ]
}

/// How a call ended: the generation of its value or failure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    Ready(u64),
    Failed(u64),
    Reset,
    AlreadyInProgress,
}

/// Whether each attempt may end, and well.
type Releases = Arc<Mutex<HashMap<u64, bool>>>;

struct Model {
    state: InitState,
    generation: u64,
    /// The generation that each caller waits for.
    waiting: HashMap<usize, u64>,
    /// How attempts ended.
    ended: HashMap<u64, Ended>,
    releases: Releases,
}

impl Model {
    fn end(&mut self, generation: u64, ended: Ended) {
        self.ended.insert(generation, ended);
    }

    /// What the first poll of a call does; afterwards it is a poll like any other.
    fn call(&mut self, caller: usize, exclusive: bool) -> Option<Ended> {
        match self.state {
            InitState::Ready(generation) => return Some(Ended::Ready(generation)),
            InitState::Initialising(_) if exclusive => return Some(Ended::AlreadyInProgress),
            InitState::Initialising(_) => {}
            InitState::Idle | InitState::Failed(_) => {
                self.generation += 1;
                self.state = InitState::Initialising(self.generation);
            }
        }
        self.waiting.insert(caller, self.generation);
        self.poll(caller)
    }

    fn poll(&mut self, caller: usize) -> Option<Ended> {
        let generation = *self.waiting.get(&caller)?;
        let release = self.releases.lock().unwrap().get(&generation).copied();
        if self.state == InitState::Initialising(generation)
            && let Some(is_ok) = release
        {
            if is_ok {
                self.state = InitState::Ready(generation);
                self.end(generation, Ended::Ready(generation));
            } else {
                self.state = InitState::Failed(generation);
                self.end(generation, Ended::Failed(generation));
            }
        }
        let ended = *self.ended.get(&generation)?;
        self.waiting.remove(&caller);
        Some(ended)
    }

    fn leave(&mut self, caller: usize) {
        if let Some(generation) = self.waiting.remove(&caller)
            && self.state == InitState::Initialising(generation)
            && self.waiting.values().all(|other| *other != generation)
        {
            self.state = InitState::Idle;
        }
    }

    fn reset(&mut self) -> Option<u64> {
        let before = std::mem::replace(&mut self.state, InitState::Idle);
        match before {
            InitState::Initialising(generation) => {
                self.end(generation, Ended::Reset);
                None
            }
            InitState::Ready(generation) => Some(generation),
            _ => None,
        }
    }
}

fn ended(outcome: Result<Arc<u64>, InitError<u64>>) -> Ended {
    match outcome {
        Ok(value) => Ended::Ready(*value),
        Err(InitError::Failed(error)) => Ended::Failed(*error),
        Err(InitError::Reset) => Ended::Reset,
        Err(InitError::AlreadyInProgress) => Ended::AlreadyInProgress,
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn any_order_of_calls_polls_drops_and_resets_agrees_with_the_model(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let cell = InitCell::<u64, u64>::new();
        let releases = Releases::default();
        let mut model = Model {
            state: InitState::Idle,
            generation: 0,
            waiting: HashMap::new(),
            ended: HashMap::new(),
            releases: Arc::clone(&releases),
        };
        let mut calls = HashMap::<usize, Boxed<'_, _>>::new();
        let mut cached = cell.cached();
        for step in steps {
            let polled = match step {
                Step::Call { caller, exclusive } => {
                    drop(calls.remove(&caller));
                    model.leave(caller);
                    let releases = Arc::clone(&releases);
                    let init = move |generation| poll_fn(move |_| {
                        match releases.lock().unwrap().get(&generation) {
                            None => Poll::Pending,
                            Some(true) => Poll::Ready(Ok(generation)),
                            Some(false) => Poll::Ready(Err(generation)),
                        }
                    });
                    let call: Boxed<'_, _> = if exclusive {
                        Box::pin(cell.try_init(init))
                    } else {
                        Box::pin(cell.get_or_init(init))
                    };
                    calls.insert(caller, call);
                    Some((caller, model.call(caller, exclusive)))
                }
                Step::Poll { caller } => Some((caller, model.poll(caller))),
                Step::Drop { caller } => {
                    drop(calls.remove(&caller));
                    model.leave(caller);
                    None
                }
                Step::Release { is_ok } => {
                    if let InitState::Initialising(generation) = model.state {
                        releases.lock().unwrap().entry(generation).or_insert(is_ok);
                    }
                    None
                }
                Step::Reset => {
                    prop_assert_eq!(cell.reset().as_deref().copied(), model.reset());
                    None
                }
            };
            if let Some((caller, expected)) = polled && let Some(call) = calls.get_mut(&caller) {
                let got = match poll(call) {
                    Poll::Ready(outcome) => Some(ended(outcome)),
                    Poll::Pending => None,
                };
                prop_assert_eq!(got, expected);
                if got.is_some() {
                    drop(calls.remove(&caller));
                }
            }
            prop_assert_eq!(cell.state(), model.state);
            let value = match model.state {
                InitState::Ready(generation) => Some(generation),
                _ => None,
            };
            prop_assert_eq!(cell.get().as_deref().copied(), value);
            prop_assert_eq!(cached.get().map(|value| **value), value);
            prop_assert_eq!(cell.snapshot().attempts, model.generation);
        }
    }
}
