//! Any sequence of operations, against a bucket of tokens that is counted by hand.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use steadfast_clock::{Clock, Instant, ManualClock};
use steadfast_sync::{KeyedRateLimiter, Quota, RateLimiter};
use tokio::{task::JoinSet, time::sleep};

use super::{quota, ticking};
use crate::support::{EPOCH, millis};

/// What happened, in order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Taken(u32),
    Refunded(u32),
    Changed(Quota),
}

/// Asserts that no window of the record holds more than the burst in force when it begins, what
/// was earned in it at the rates in force, and what was refunded in it.
fn assert_no_window_exceeds(first: Quota, record: &[(Instant, Event)]) {
    let mut in_force = first;
    for (start, &(from, event)) in record.iter().enumerate() {
        match event {
            Event::Taken(_) => {}
            Event::Refunded(_) => continue,
            Event::Changed(quota) => {
                in_force = quota;
                continue;
            }
        }
        let (mut quota, mut since) = (in_force, from);
        let (mut taken, mut allowed) = (0.0, f64::from(in_force.burst()));
        for &(now, event) in &record[start..] {
            allowed += (now - since).as_nanos() as f64 / quota.interval().as_nanos() as f64;
            since = now;
            match event {
                Event::Taken(units) => taken += f64::from(units),
                Event::Refunded(units) => allowed += f64::from(units),
                Event::Changed(new) => quota = new,
            }
            let window = now - from;
            assert!(
                taken <= allowed + 1e-6,
                "{taken} of {allowed} in {window:?}"
            );
        }
    }
}

/// A bucket of tokens, the naive way.
struct Model {
    quota: Quota,
    /// In nanoseconds of earning.
    level: u128,
    /// What the level would be if nothing had been taken.
    ceiling: u128,
}

impl Model {
    fn new(quota: Quota) -> Self {
        let level = u128::from(quota.burst()) * quota.interval().as_nanos();
        let ceiling = level;
        Self {
            quota,
            level,
            ceiling,
        }
    }

    fn cost(&self, units: u32) -> u128 {
        u128::from(units) * self.quota.interval().as_nanos()
    }

    fn earn(&mut self, nanos: u128) {
        let full = self.cost(self.quota.burst());
        self.level = (self.level + nanos).min(full);
        self.ceiling = (self.ceiling + nanos).min(full);
    }

    fn refund(&mut self, units: u32) {
        self.level = (self.level + self.cost(units)).min(self.ceiling);
    }

    fn take(&mut self, units: u32) -> bool {
        let is_there = self.cost(units) <= self.level;
        if is_there {
            self.level -= self.cost(units);
        }
        is_there
    }

    fn set_quota(&mut self, quota: Quota) {
        for level in [&mut self.level, &mut self.ceiling] {
            *level = *level * quota.interval().as_nanos() / self.quota.interval().as_nanos();
        }
        self.quota = quota;
        self.earn(0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Take(usize, u32),
    Refund(usize, u32),
    Change(Quota),
    Sweep,
}

fn any_quota() -> impl Strategy<Value = Quota> {
    (1_u32..2_000, 1_u32..20).prop_map(|(per_second, burst)| quota(per_second, burst))
}

/// Steps with this many keys.
fn steps(keys: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u64..5_000_000).prop_map(Step::Advance),
        1 => (0_u64..20_000_000_000).prop_map(Step::Advance),
        8 => (0..keys, 1_u32..20).prop_map(|(key, units)| Step::Take(key, units)),
        1 => (0..keys, 1_u32..5).prop_map(|(key, units)| Step::Refund(key, units)),
        1 => any_quota().prop_map(Step::Change),
        1 => Just(Step::Sweep),
    ];
    vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_steps_agree_with_a_bucket_of_tokens(first in any_quota(), steps in steps(1)) {
        let clock = Arc::new(ManualClock::new(EPOCH));
        let limiter = RateLimiter::builder(first).clock(clock.clone()).build().unwrap();
        let (mut model, mut record) = (Model::new(first), Vec::new());
        for step in steps {
            let event = match step {
                Step::Advance(nanos) => {
                    clock.advance(Duration::from_nanos(nanos));
                    model.earn(nanos.into());
                    None
                }
                Step::Take(_, units) => {
                    let is_taken = limiter.try_acquire(units).is_ok();
                    prop_assert_eq!(is_taken, model.take(units));
                    is_taken.then_some(Event::Taken(units))
                }
                Step::Refund(_, units) => {
                    limiter.refund(units);
                    model.refund(units);
                    Some(Event::Refunded(units))
                }
                Step::Change(quota) => {
                    limiter.set_quota(quota);
                    model.set_quota(quota);
                    Some(Event::Changed(quota))
                }
                Step::Sweep => None,
            };
            record.extend(event.map(|event| (clock.monotonic(), event)));
            prop_assert_eq!(u128::from(limiter.available()), model.level / model.cost(1));
        }
        assert_no_window_exceeds(first, &record);
    }

    #[test]
    fn key_behaves_the_same_whether_it_is_forgotten_or_not(
        first in any_quota(),
        steps in steps(3)
    ) {
        let clock = Arc::new(ManualClock::new(EPOCH));
        let keyed = KeyedRateLimiter::builder(first).clock(clock.clone()).build().unwrap();
        let builder = RateLimiter::builder(first).clock(clock.clone());
        let kept: Vec<_> = (0..3).map(|_| builder.clone().build().unwrap()).collect();
        for step in steps {
            match step {
                Step::Advance(nanos) => clock.advance(Duration::from_nanos(nanos)),
                Step::Take(key, units) => {
                    prop_assert_eq!(keyed.peek(&key, units).is_ok(), kept[key].available() >= units);
                    prop_assert_eq!(keyed.try_acquire(&key, units), kept[key].try_acquire(units));
                }
                Step::Refund(key, units) => {
                    keyed.refund(&key, units);
                    kept[key].refund(units);
                }
                Step::Change(quota) => {
                    keyed.set_quota(quota);
                    kept.iter().for_each(|limiter| limiter.set_quota(quota));
                }
                Step::Sweep => {
                    keyed.sweep();
                }
            }
            for (key, limiter) in kept.iter().enumerate() {
                prop_assert_eq!(keyed.available(&key), limiter.available());
            }
        }
        clock.advance(Duration::from_secs(60));
        keyed.sweep();
        prop_assert!(keyed.is_empty());
    }

    #[test]
    fn waiters_that_come_and_go_are_served_in_order_and_within_the_quota(
        first in (1_u32..5).prop_map(|burst| quota(50, burst)),
        callers in vec((0_u64..300, 1_u32..5, 1_u64..400, any::<bool>()), 1..30),
        changes in vec((0_u64..300, 10_u32..200, 1_u32..5), 0..3)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let limiter = ticking(first);
            let clock = Arc::new(ManualClock::ticking(EPOCH));
            let record = Arc::new(Mutex::new(Vec::new()));
            let asked = Arc::new(Mutex::new((0, Vec::new())));
            let mut tasks = JoinSet::new();
            for (at, per_second, burst) in changes {
                let (limiter, clock) = (Arc::clone(&limiter), Arc::clone(&clock));
                let record = Arc::clone(&record);
                tasks.spawn(async move {
                    sleep(millis(at)).await;
                    let new = quota(per_second, burst);
                    limiter.set_quota(new);
                    record.lock().unwrap().push((clock.monotonic(), Event::Changed(new)));
                });
            }
            for (come, units, patience, with_deadline) in callers {
                let (limiter, clock) = (Arc::clone(&limiter), Arc::clone(&clock));
                let (record, asked) = (Arc::clone(&record), Arc::clone(&asked));
                tasks.spawn(async move {
                    sleep(millis(come)).await;
                    let order = {
                        let mut asked = asked.lock().unwrap();
                        asked.0 += 1;
                        asked.0
                    };
                    let patience = millis(patience);
                    let through = if with_deadline {
                        limiter.acquire_timeout(units, patience).await.is_ok()
                    } else {
                        let wait = tokio::time::timeout(patience, limiter.acquire(units));
                        matches!(wait.await, Ok(Ok(())))
                    };
                    if through {
                        record.lock().unwrap().push((clock.monotonic(), Event::Taken(units)));
                        asked.lock().unwrap().1.push(order);
                    }
                });
            }
            tasks.join_all().await;
            assert_eq!(limiter.waiting(), 0);
            assert_no_window_exceeds(first, &record.lock().unwrap());
            assert!(asked.lock().unwrap().1.is_sorted(), "not in the order of asking");
        });
    }
}
