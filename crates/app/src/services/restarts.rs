//! Which services are started again when they fail while the whole is up.
//!
//! | service | again | why |
//! |---|---|---|
//! | admin | never | what tells of the others must not go away with its monitor; a taken address is its operator's to free |
//! | database | never | db-init tries again by itself; what it gives up on would be the same the next time |
//! | hub | never | it has nothing to fail of: no I/O of its own, and its clients come back by themselves |
//! | scheduler, outbox, deliveries | [`of_a_task`] | their work is a task, which can panic, and goes on from what is stored |
//! | privacy | [`of_privacy`] | its start needs the database, which may be locked for a while; it can wait |
//! | http | never | it fails of its address only; it follows what it requires |
//!
//! A scheduler whose driver has died is a failure of its service. Where a service is only unhealthy,
//! nothing is restarted but the process, by its supervisor.

use std::{error::Error, time::Duration};

use steadfast_lifecycle::{RestartPolicy, ServiceError};

/// At most five times a minute; then the process ends, so that its supervisor decides.
pub(super) fn of_a_task() -> RestartPolicy {
    RestartPolicy::on_failure()
}

/// For about a quarter of an hour without a success; then it stays away until the process starts
/// again.
pub(super) fn of_privacy() -> RestartPolicy {
    RestartPolicy::OnFailure {
        initial_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(60),
        max_restarts: 30,
        within: Duration::from_secs(3_600),
    }
}

/// The driver of a scheduler panicked; a new one runs what it left.
pub(super) fn driver_died() -> ServiceError {
    ServiceError::transient("the scheduler's driver died")
}

/// Why a service does not start, with all that lies behind it: `/readyz` tells only the outermost
/// words.
pub(super) fn start_failure(
    error: impl Error + Send + Sync + 'static,
    is_transient: bool,
) -> ServiceError {
    let text = format!("{:#}", anyhow::Error::new(error));
    if is_transient {
        ServiceError::transient(text)
    } else {
        ServiceError::permanent(text)
    }
}

#[cfg(test)]
mod tests;
