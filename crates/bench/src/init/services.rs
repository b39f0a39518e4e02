//! Many services, started and stopped.

use std::{error::Error, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use steadfast_lifecycle::{
    Health, Lifecycle, Service, ServiceError, ServiceSpec, StartContext, StopContext,
};
use tokio::{runtime::Builder, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{Case, Contender, Sampling},
    run::{grouped, timed},
};

pub(super) fn start_and_stop() -> Result<Case, Box<dyn Error>> {
    Ok(Case::new(ours(1_000)?)
        .against(ours(100)?.at_most(1.5))
        .against(ours(10)?)
        .against(by_hand(1_000)?)
        .sampled(Sampling::LONG)
        .note(
            "Nanoseconds a service, of a chain in which each requires the one before. By hand: \
             the same calls in a loop, each with its time limit; nothing is rolled back, \
             watched or told.",
        ))
}

fn ours(services: usize) -> Result<Contender, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let mut builder = Lifecycle::builder();
    for service in chain(services) {
        builder = builder.service(service);
    }
    let lifecycle = builder.build()?;
    let sampler = move |operations: u64| {
        let mut took = Duration::ZERO;
        for _ in 0..operations.div_ceil(services as u64) {
            took += timed(|| {
                runtime.block_on(async {
                    lifecycle.start().await.expect("all services start");
                    lifecycle.stop().await.expect("all services stop");
                });
            });
        }
        took
    };
    let name = format!("steadfast-lifecycle, {} services", grouped(services as u64));
    Ok(Contender::new(name, Box::new(sampler)).exactly(1_000))
}

fn by_hand(services: usize) -> io::Result<Contender> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let services = chain(services);
    let name = format!("by hand, {} services", grouped(services.len() as u64));
    let sampler = move |_| {
        timed(|| {
            runtime.block_on(async {
                let limit = Duration::from_secs(30);
                for service in &services {
                    let cx = StartContext::detached(CancellationToken::new());
                    let started = timeout(limit, service.start(cx)).await;
                    started.expect("in time").expect("the service starts");
                }
                for service in services.iter().rev() {
                    let stopped = timeout(limit, service.stop(StopContext::new(limit))).await;
                    stopped.expect("in time").expect("the service stops");
                }
            });
        })
    };
    Ok(Contender::new(name, Box::new(sampler)).exactly(1_000))
}

fn chain(services: usize) -> Vec<Arc<Part>> {
    let part = |index: usize| {
        let spec = ServiceSpec::new(format!("part-{index}"));
        Arc::new(Part(match index {
            0 => spec,
            _ => spec.requires(format!("part-{}", index - 1)),
        }))
    };
    (0..services).map(part).collect()
}

/// A service that is there at once.
struct Part(ServiceSpec);

#[async_trait]
impl Service for Part {
    fn spec(&self) -> ServiceSpec {
        self.0.clone()
    }

    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn health(&self) -> Health {
        Health::healthy()
    }
}
