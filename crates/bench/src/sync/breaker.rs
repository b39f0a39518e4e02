use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use failsafe::{CircuitBreaker as _, Config, backoff, failure_policy};
use steadfast_sync::CircuitBreaker;
use tower::{Service, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

use crate::{
    harness::{Case, Sampling},
    machine::versioned,
    run::{alone as in_one_task, in_tasks, plainly},
};

pub(super) fn alone() -> Result<Case, Box<dyn Error>> {
    let breaker = CircuitBreaker::builder().consecutive_failures(5).build()?;
    let ours = plainly(
        "steadfast-sync CircuitBreaker, failures in a row",
        move || breaker.try_acquire().map(|permit| permit.success()),
    );
    let breaker = Config::new().build();
    let by_rate = plainly(by_rate(), move || breaker.call(|| Ok::<_, Infallible>(())));
    let pause = backoff::constant(Duration::from_secs(60));
    let in_a_row = failure_policy::consecutive_failures(5, pause);
    let breaker = Config::new().failure_policy(in_a_row).build();
    let in_a_row = plainly(versioned("failsafe") + ", failures in a row", move || {
        breaker.call(|| Ok::<_, Infallible>(()))
    });
    let layer = CircuitBreakerLayer::builder().build()?;
    let mut service = layer.layer_fn(service_fn(async |number: u64| Ok::<_, Infallible>(number)));
    let tower = in_one_task(tower(), async move |number| {
        if let Ok(service) = service.ready().await {
            assert!(service.call(number).await.is_ok());
        }
    })?;
    Ok(Case::new(ours)
        .against(by_rate.at_most(0.4))
        .against(in_a_row)
        .against(tower))
}

pub(super) fn contended() -> Result<Case, Box<dyn Error>> {
    const TASKS: u64 = 2;
    let breaker = Arc::new(CircuitBreaker::builder().consecutive_failures(5).build()?);
    let ours = in_tasks(
        "steadfast-sync CircuitBreaker, failures in a row",
        TASKS,
        move |numbers| {
            let breaker = Arc::clone(&breaker);
            async move {
                for _ in numbers {
                    assert!(breaker.try_acquire().map(|permit| permit.success()).is_ok());
                }
            }
        },
    )?;
    let breaker = Config::new().build();
    let by_rate = in_tasks(by_rate(), TASKS, move |numbers| {
        let breaker = breaker.clone();
        async move {
            for _ in numbers {
                assert!(breaker.call(|| Ok::<_, Infallible>(())).is_ok());
            }
        }
    })?;
    Ok(Case::new(ours).against(by_rate).sampled(Sampling::LONG))
}

/// With its default policy.
fn by_rate() -> String {
    versioned("failsafe") + ", success rate over time or failures in a row"
}

fn tower() -> String {
    versioned("tower-resilience-circuitbreaker") + ", failure rate over 100 calls"
}
