use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use failsafe::{CircuitBreaker as _, Config, backoff, failure_policy};
use steadfast_sync::{CircuitBreaker, CircuitBreakerBuilder};
use tower::{Service, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use crate::{
    harness::{Case, Contender, Sampling},
    machine::versioned,
    run::{alone as in_one_task, in_tasks, plainly},
};

const CALLS: u32 = 100;
const SLOW: Duration = Duration::from_secs(1);

pub(super) fn by_rate() -> Result<Case, Box<dyn Error>> {
    Ok(Case::new(ours("failure rate over 100 calls", counting())?)
        .against(failsafe_by_rate().at_most(0.4))
        .against(tower_by_rate(None)?))
}

pub(super) fn slow_calls() -> Result<Case, Box<dyn Error>> {
    let builder = counting().slow_call_rate(0.5, SLOW);
    Ok(Case::new(ours("with slow calls", builder)?)
        .against(failsafe_by_rate().at_most(0.8))
        .against(tower_by_rate(Some(SLOW))?)
        .note("failsafe does not tell slow calls apart; the others read the clock twice for it."))
}

pub(super) fn in_a_row() -> Result<Case, Box<dyn Error>> {
    let builder = CircuitBreaker::builder().consecutive_failures(5);
    let policy = failure_policy::consecutive_failures(5, backoff::constant(SLOW));
    let breaker = Config::new().failure_policy(policy).build();
    let name = versioned("failsafe") + ", failures in a row";
    let failsafe = plainly(name, move || breaker.call(|| Ok::<_, Infallible>(())));
    Ok(Case::new(ours("failures in a row", builder)?).against(failsafe))
}

pub(super) fn contended() -> Result<Case, Box<dyn Error>> {
    const TASKS: u64 = 2;
    let breaker = Arc::new(counting().build()?);
    let name = named("failure rate over 100 calls");
    let ours = in_tasks(name, TASKS, move |numbers| {
        let breaker = Arc::clone(&breaker);
        async move {
            for _ in numbers {
                assert!(breaker.try_acquire().map(|permit| permit.success()).is_ok());
            }
        }
    })?;
    let breaker = Config::new().build();
    let failsafe = in_tasks(failsafe(), TASKS, move |numbers| {
        let breaker = breaker.clone();
        async move {
            for _ in numbers {
                assert!(breaker.call(|| Ok::<_, Infallible>(())).is_ok());
            }
        }
    })?;
    Ok(Case::new(ours).against(failsafe).sampled(Sampling::LONG))
}

fn ours(policy: &str, builder: CircuitBreakerBuilder) -> Result<Contender, Box<dyn Error>> {
    let breaker = builder.build()?;
    Ok(plainly(named(policy), move || {
        breaker.try_acquire().map(|permit| permit.success())
    }))
}

fn counting() -> CircuitBreakerBuilder {
    CircuitBreaker::builder()
        .failure_rate(0.5)
        .count_window(CALLS)
        .minimum_calls(10)
}

/// With its default policy.
fn failsafe_by_rate() -> Contender {
    let breaker = Config::new().build();
    plainly(failsafe(), move || breaker.call(|| Ok::<_, Infallible>(())))
}

fn tower_by_rate(slow_after: Option<Duration>) -> Result<Contender, Box<dyn Error>> {
    let mut builder = CircuitBreakerLayer::builder().sliding_window_size(CALLS as usize);
    let mut name = versioned("tower-resilience-circuitbreaker");
    if let Some(slow_after) = slow_after {
        builder = builder.slow_call_duration_threshold(slow_after);
        name += ", with slow calls";
    }
    let call = service_fn(async |number: u64| Ok::<_, Infallible>(number));
    let mut service = builder.build()?.layer_fn(call);
    Ok(in_one_task(name, async move |number| {
        if let Ok(service) = service.ready().await {
            assert!(service.call(number).await.is_ok());
        }
    })?)
}

fn named(policy: &str) -> String {
    format!("steadfast-sync CircuitBreaker, {policy}")
}

fn failsafe() -> String {
    versioned("failsafe") + ", success rate over time or failures in a row"
}
