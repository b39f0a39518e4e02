//! Looks at the services and at the named primitives, and tells what is wrong as alerts.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use steadfast_db_init::{Alert as DatabaseAlert, Backend, Database, DatabaseSnapshot};
use steadfast_lifecycle::{Alert as ServiceAlert, LifecycleHandle};
use steadfast_sync::{BreakerState, PrimitiveState, Registry};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::alerts::{Alerts, Finding};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// From how many failures in a row on lifecycle raises an alert of a service. The first is one to
/// be told of, as `/readyz` is not ready from then on; who is paged decides for how long it lasts.
pub(super) const FAILURES: u32 = 1;

/// From how many failures in a row on db-init raises an alert of the database. Not the first, as it
/// tries again by itself, within a second.
pub(super) const INITIALISATION_FAILURES: u32 = 3;

/// From how long on a hold or a wait is one to be told of.
const LONG: Duration = Duration::from_secs(5);

/// A database of any kind, as one that watches sees it.
pub(super) trait WatchedDatabase: fmt::Debug + Send + Sync {
    fn alerts(&self) -> broadcast::Receiver<DatabaseAlert>;

    fn snapshot(&self) -> DatabaseSnapshot;
}

impl<B: Backend> WatchedDatabase for Database<B> {
    fn alerts(&self) -> broadcast::Receiver<DatabaseAlert> {
        self.alerts()
    }

    fn snapshot(&self) -> DatabaseSnapshot {
        self.snapshot()
    }
}

/// Looks until it is told to stop.
pub(super) async fn watch(
    lifecycle: LifecycleHandle,
    database: Arc<dyn WatchedDatabase>,
    alerts: Alerts,
    stop: CancellationToken,
) {
    let look = async {
        let mut down = Down::begin(lifecycle);
        let mut initialisation = Initialisation::begin(database);
        loop {
            let mut found = down.findings();
            found.extend(initialisation.finding());
            for primitive in Registry::global().snapshot() {
                found.extend(state(primitive.name, &primitive.state));
            }
            alerts.observe(found);
            tokio::select! {
                () = down.change() => {}
                () = initialisation.change() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
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

/// The services that lifecycle has raised an alert of and not taken back.
struct Down {
    lifecycle: LifecycleHandle,
    raised: broadcast::Receiver<ServiceAlert>,
    names: BTreeSet<Arc<str>>,
}

impl Down {
    fn begin(lifecycle: LifecycleHandle) -> Self {
        let mut down = Self {
            raised: lifecycle.alerts(),
            lifecycle,
            names: BTreeSet::new(),
        };
        down.catch_up();
        down
    }

    /// Waits until lifecycle tells of a service.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has missed nothing.
    async fn change(&mut self) {
        match self.raised.recv().await {
            Ok(ServiceAlert::FailsRepeatedly { service, .. }) => {
                self.names.insert(service);
            }
            Ok(ServiceAlert::Recovered { service, .. }) => {
                self.names.remove(&service);
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => self.catch_up(),
            // The handle in `self` keeps it open.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Takes over what was told before it listened.
    fn catch_up(&mut self) {
        let snapshot = self.lifecycle.snapshot();
        let failing = snapshot
            .services
            .iter()
            .filter(|it| it.failures >= FAILURES);
        self.names = failing.map(|service| service.name.clone()).collect();
    }

    fn findings(&self) -> Vec<Finding> {
        let snapshot = self.lifecycle.snapshot();
        let named = self.names.iter().filter_map(|name| snapshot.service(name));
        named
            .map(|service| Finding {
                alert: "service_down",
                subject: service.name.to_string(),
                message: told(service.last_error.as_deref()),
                severe: service.required,
            })
            .collect()
    }
}

/// Whether db-init has raised an alert of the database and not taken it back.
struct Initialisation {
    database: Arc<dyn WatchedDatabase>,
    raised: broadcast::Receiver<DatabaseAlert>,
    fails: bool,
}

impl Initialisation {
    fn begin(database: Arc<dyn WatchedDatabase>) -> Self {
        let mut initialisation = Self {
            raised: database.alerts(),
            database,
            fails: false,
        };
        initialisation.catch_up();
        initialisation
    }

    /// Waits until db-init tells of the database.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has missed nothing.
    async fn change(&mut self) {
        match self.raised.recv().await {
            Ok(DatabaseAlert::FailsRepeatedly { .. }) => self.fails = true,
            Ok(DatabaseAlert::Recovered { .. }) => self.fails = false,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => self.catch_up(),
            // The database in `self` keeps it open.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Takes over what was told before it listened.
    fn catch_up(&mut self) {
        self.fails = self.database.snapshot().failures >= INITIALISATION_FAILURES;
    }

    fn finding(&self) -> Option<Finding> {
        let snapshot = self.fails.then(|| self.database.snapshot())?;
        Some(Finding {
            alert: "initialisation_fails",
            subject: snapshot.name.to_string(),
            message: told(snapshot.last_error.as_deref()),
            severe: true,
        })
    }
}

/// The last failure, for people.
fn told(error: Option<&str>) -> String {
    error.unwrap_or("it does not work").to_owned()
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

#[cfg(test)]
mod tests;
