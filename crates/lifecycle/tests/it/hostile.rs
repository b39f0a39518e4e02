//! Services and settings that do what nobody expects: the others are stopped none the less.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use steadfast_lifecycle::{
    Fault, Health, Lifecycle, Service, ServiceError, ServiceSpec, StartContext, StartError,
    StopContext,
    test_util::{Journal, ScriptedService},
};

use crate::support::{MS, SEC, names, stopped};

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("dropped on purpose");
    }
}

/// Hangs in one of its calls, and panics when that is given up.
struct Explosive {
    hangs_in: &'static str,
}

impl Explosive {
    async fn call(&self, name: &str) {
        if self.hangs_in == name {
            let _grenade = Grenade;
            pending().await
        }
    }
}

#[async_trait]
impl Service for Explosive {
    fn spec(&self) -> ServiceSpec {
        ServiceSpec::new("explosive")
            .requires("base")
            .start_timeout(5 * SEC)
    }
    async fn start(&self, _: StartContext) -> Result<(), ServiceError> {
        self.call("start").await;
        Ok(())
    }
    async fn stop(&self, _: StopContext) -> Result<(), ServiceError> {
        self.call("stop").await;
        Ok(())
    }
    async fn health(&self) -> Health {
        self.call("health").await;
        Health::healthy()
    }
}

fn explosive(hangs_in: &'static str) -> (Arc<Lifecycle>, Journal) {
    let journal = Journal::default();
    let base = ScriptedService::new(ServiceSpec::new("base"), &journal);
    let lifecycle = Lifecycle::builder()
        .service(Arc::new(base))
        .service(Arc::new(Explosive { hangs_in }))
        .build();
    (Arc::new(lifecycle.expect("a sound graph")), journal)
}

#[tokio::test(start_paused = true)]
async fn start_that_panics_when_it_is_dropped_is_rolled_back() {
    let (lifecycle, journal) = explosive("start");
    let StartError::RequiredFailed {
        fault, rollback, ..
    } = lifecycle.start().await.unwrap_err()
    else {
        panic!("the culprit is not named");
    };
    assert!(matches!(fault, Fault::TimedOut { .. }), "{fault}");
    assert_eq!(stopped(&rollback), ["explosive", "base"]);

    let (start, stop) = tokio::join!(lifecycle.start(), async {
        tokio::time::sleep(SEC).await;
        lifecycle.stop().await
    });
    assert!(
        matches!(start, Err(StartError::Stopped { .. })),
        "{start:?}"
    );
    assert_eq!(stopped(&stop.unwrap()), ["explosive", "base"]);
    assert_eq!(names(&journal.stops()), ["base", "base"]);
}

#[tokio::test(start_paused = true)]
async fn probe_or_stop_that_panics_when_it_is_dropped_keeps_nobody_from_being_stopped() {
    for hangs_in in ["health", "stop"] {
        let (lifecycle, journal) = explosive(hangs_in);
        lifecycle.start().await.unwrap();
        // The first probe is at work.
        tokio::time::sleep(MS).await;
        let _ = lifecycle.stop().await;
        assert_eq!(names(&journal.stops()), ["base"], "{hangs_in}");
    }
}

#[tokio::test(start_paused = true)]
async fn longest_settings_do_not_overflow() {
    let journal = Journal::default();
    let spec = ServiceSpec::new("base")
        .start_timeout(Duration::MAX)
        .stop_timeout(Duration::MAX);
    let base = Arc::new(ScriptedService::new(spec, &journal));
    let lifecycle = Lifecycle::builder()
        .service(Arc::clone(&base) as _)
        .start_timeout(Duration::MAX)
        .probe_interval(Duration::MAX)
        .probe_timeout(Duration::MAX)
        .build()
        .unwrap();
    lifecycle.start().await.unwrap();
    tokio::time::sleep(SEC).await;
    assert_eq!(base.probes(), 1);
    assert_eq!(stopped(&lifecycle.stop().await.unwrap()), ["base"]);
}
