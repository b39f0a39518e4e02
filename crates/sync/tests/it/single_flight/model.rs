use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::Poll,
};

use proptest::prelude::*;
use steadfast_sync::{FlightError, SingleFlight};

use crate::support::{Boxed, poll};

#[derive(Clone, Debug)]
enum Step {
    /// A caller asks for a key, in place of what it asked for before.
    Call {
        caller: usize,
        key: u8,
    },
    Poll {
        caller: usize,
    },
    Drop {
        caller: usize,
    },
    /// The work of a key, if any, may end like this.
    Release {
        key: u8,
        outcome: Result<u64, u64>,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (caller, key) = (0_usize..5, 0_u8..2);
    prop_oneof![
        3 => (caller.clone(), key.clone()).prop_map(|(caller, key)| Step::Call { caller, key }),
        3 => caller.clone().prop_map(|caller| Step::Poll { caller }),
        2 => caller.prop_map(|caller| Step::Drop { caller }),
        2 => (key, any::<Result<u64, u64>>())
            .prop_map(|(key, outcome)| Step::Release { key, outcome }),
    ]
}

/// What a flight's work will return, once it may.
type Release = Arc<Mutex<Option<Result<u64, u64>>>>;

/// The sequential model: who waits for which flight, and which flight a key has.
#[derive(Default)]
struct Model {
    flights: HashMap<u8, usize>,
    releases: Vec<Release>,
    landed: HashMap<usize, Result<u64, u64>>,
    waiting: HashMap<usize, (u8, usize)>,
}

impl Model {
    fn leave(&mut self, caller: usize) {
        if let Some((key, flight)) = self.waiting.remove(&caller) {
            let is_last = self.waiting.values().all(|(_, other)| *other != flight);
            if is_last && self.flights.get(&key) == Some(&flight) {
                self.flights.remove(&key);
            }
        }
    }

    fn poll(&mut self, caller: usize) -> Option<Result<u64, u64>> {
        let (key, flight) = *self.waiting.get(&caller)?;
        if let Some(outcome) = *self.releases[flight].lock().unwrap()
            && !self.landed.contains_key(&flight)
        {
            self.landed.insert(flight, outcome);
            self.flights.remove(&key);
        }
        let outcome = *self.landed.get(&flight)?;
        self.waiting.remove(&caller);
        Some(outcome)
    }
}

proptest! {
    #[test]
    fn any_order_of_calls_polls_and_drops_agrees_with_the_model(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let group = SingleFlight::<u8, u64, u64>::new();
        let (mut model, mut calls) = (Model::default(), HashMap::new());
        let begun = Arc::new(Mutex::new(Vec::<Release>::new()));
        for step in steps {
            let polled = match step {
                Step::Call { caller, key } => {
                    drop(calls.remove(&caller));
                    model.leave(caller);
                    let begun = Arc::clone(&begun);
                    let call: Boxed<'_, _> = Box::pin(group.run(key, move || {
                        let release = Release::default();
                        begun.lock().unwrap().push(Arc::clone(&release));
                        poll_fn(move |_| match *release.lock().unwrap() {
                            Some(outcome) => Poll::Ready(outcome),
                            None => Poll::Pending,
                        })
                    }));
                    calls.insert(caller, call);
                    Some((caller, Some(key)))
                }
                Step::Poll { caller } => Some((caller, None)),
                Step::Drop { caller } => {
                    drop(calls.remove(&caller));
                    model.leave(caller);
                    None
                }
                Step::Release { key, outcome } => {
                    if let Some(flight) = model.flights.get(&key) {
                        model.releases[*flight].lock().unwrap().get_or_insert(outcome);
                    }
                    None
                }
            };
            if let Some((caller, begins)) = polled && let Some(call) = calls.get_mut(&caller) {
                let got = poll(call);
                let begun = begun.lock().unwrap();
                if let Some(key) = begins {
                    let next = model.releases.len();
                    let flight = *model.flights.entry(key).or_insert(next);
                    model.waiting.insert(caller, (key, flight));
                    if flight == next {
                        prop_assert_eq!(begun.len(), next + 1, "it starts its own work");
                        model.releases.push(Arc::clone(&begun[next]));
                    }
                }
                prop_assert_eq!(begun.len(), model.releases.len(), "executions");
                let expected = model.poll(caller);
                let got = match got {
                    Poll::Pending => None,
                    Poll::Ready(Ok(value)) => Some(Ok(value)),
                    Poll::Ready(Err(FlightError::Failed(error))) => Some(Err(*error)),
                    Poll::Ready(Err(other)) => return Err(TestCaseError::fail(other.to_string())),
                };
                prop_assert_eq!(got, expected);
                if got.is_some() {
                    drop(calls.remove(&caller));
                }
            }
            prop_assert_eq!(group.in_flight(), model.flights.len());
            for key in 0..2 {
                let flight = model.flights.get(&key);
                let callers = model.waiting.values().filter(|(_, f)| Some(f) == flight).count();
                prop_assert_eq!(group.callers(&key), callers);
            }
        }
    }
}
