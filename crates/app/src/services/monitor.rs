//! Looks at the services and at the named primitives, and tells what is wrong as alerts.

use std::time::Duration;

use steadfast_db_init::Status as DatabaseStatus;
use steadfast_lifecycle::{LifecycleHandle, ServiceState, Snapshot, Status};
use steadfast_sync::{BreakerState, PrimitiveState, Registry};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::alerts::{Alerts, Finding};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// From how long on a hold or a wait is one to be told of.
const LONG: Duration = Duration::from_secs(5);

/// From how many attempts on an initialisation is one to be told of.
const ATTEMPTS: u32 = 3;

/// Looks until it is told to stop.
pub(super) async fn watch(
    lifecycle: LifecycleHandle,
    database: watch::Receiver<DatabaseStatus>,
    alerts: Alerts,
    stop: CancellationToken,
) {
    let look = async {
        loop {
            let mut found = services(&lifecycle.snapshot());
            found.extend(initialisation(&database.borrow()));
            for primitive in Registry::global().snapshot() {
                found.extend(state(primitive.name, &primitive.state));
            }
            alerts.observe(found);
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let Ok(primitives) = Registry::global().watch(INTERVAL) else {
        return;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        never = primitives => match never {},
        () = look => {}
    }
}

/// Services that do not work while the others do.
fn services(snapshot: &Snapshot) -> Vec<Finding> {
    if matches!(snapshot.status, Status::Stopping | Status::Stopped) {
        return Vec::new();
    }
    let broken = snapshot.services.iter().filter(|service| {
        matches!(
            service.state,
            ServiceState::Unhealthy | ServiceState::Failed | ServiceState::Skipped
        )
    });
    broken
        .map(|service| Finding {
            alert: "service_down",
            subject: service.name.to_string(),
            message: match &service.detail {
                Some(detail) => detail.to_string(),
                None => "it does not work".to_owned(),
            },
            severe: service.required,
        })
        .collect()
}

fn initialisation(status: &DatabaseStatus) -> Option<Finding> {
    let message = match status {
        DatabaseStatus::Connecting { attempt, .. } | DatabaseStatus::Migrating { attempt, .. }
            if *attempt >= ATTEMPTS =>
        {
            format!("it is at attempt {attempt}")
        }
        DatabaseStatus::Failed { error, .. } => error.to_string(),
        _ => return None,
    };
    Some(Finding {
        alert: "initialisation_fails",
        subject: "database".to_owned(),
        message,
        severe: true,
    })
}

/// What is wrong with a primitive. Several of one name are told of as one.
fn state(name: String, state: &PrimitiveState) -> Option<Finding> {
    let (alert, message, severe) = match state {
        PrimitiveState::CircuitBreaker(breaker) if breaker.state != BreakerState::Closed => {
            let message = format!("calls are refused; it has opened {} times", breaker.opened);
            ("breaker_open", message, true)
        }
        PrimitiveState::AsyncLock(lock) => {
            let held = lock
                .keys
                .iter()
                .filter_map(|key| Some((key.held_for?, key)));
            let waited = lock.keys.iter().filter_map(|key| key.longest_wait).max();
            slow(
                held.max_by_key(|(held, _)| *held)
                    .map(|(held, key)| (held, key.holder.to_string())),
                waited,
            )?
        }
        PrimitiveState::Semaphore(semaphore) => {
            let held = semaphore.holders.first();
            let held = held.and_then(|first| Some((first.held_for?, first.holder.to_string())));
            slow(held, semaphore.oldest_wait)?
        }
        _ => return None,
    };
    Some(Finding {
        alert,
        subject: name,
        message,
        severe,
    })
}

fn slow(
    held: Option<(Duration, String)>,
    waited: Option<Duration>,
) -> Option<(&'static str, String, bool)> {
    if let Some(waited) = waited.filter(|waited| *waited >= LONG) {
        let holder = held.map(|(_, holder)| format!(", held by {holder}"));
        let message = format!(
            "somebody waits for {waited:?}{}",
            holder.unwrap_or_default()
        );
        return Some(("long_wait", message, false));
    }
    let (held, holder) = held.filter(|(held, _)| *held >= LONG)?;
    Some((
        "long_hold",
        format!("{holder} holds it for {held:?}"),
        false,
    ))
}
