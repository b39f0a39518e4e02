use std::{ops::Deref, sync::Arc, time::Duration};

use steadfast_sync::{AcquireError, OwnedPermit, Semaphore};
use thiserror::Error;

use crate::{Backend, Database, Status};

/// The pool of a ready database, with leave to work on it; see [`Database::work`].
///
/// Dropping it gives the permit to whoever waits longest.
#[derive(Debug)]
pub struct Work<P> {
    pool: Arc<P>,
    _permit: Option<OwnedPermit>,
}

/// Why there was no leave to work on a database.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The database is not ready, or was closed while this caller waited.
    #[error("the database is not ready: it is {status}")]
    NotReady {
        /// Where it stands.
        status: Status,
    },
    /// No permit was to be had: the queue is full, or the time is over.
    #[error("too much is at work on the database")]
    Busy {
        /// What stood in the way.
        #[source]
        source: AcquireError,
    },
}

impl<B: Backend> Database<B> {
    /// The pool of a ready database, together with a permit of the
    /// [semaphore](crate::DatabaseBuilder::concurrency) that bounds how much is at work on it at
    /// once; without one, the pool alone.
    ///
    /// Waits for the permit in the order of arrival, `within` at most. Who works on several
    /// connections takes one permit and holds it for all.
    ///
    /// # Errors
    ///
    /// [`WorkError::NotReady`], also at once to those who wait when the database is closed;
    /// [`WorkError::Busy`] when the queue is full or the time over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue.
    pub async fn work(&self, within: Duration) -> Result<Work<B::Pool>, WorkError> {
        let mut status = self.subscribe();
        let not_ready = || WorkError::NotReady {
            status: self.status(),
        };
        let ready = self.ready_generation().ok_or_else(not_ready)?;
        // The pool can be had a moment before the status says so.
        let is_gone = |status: &Status| match status {
            Status::Closing { .. } | Status::Closed { .. } => true,
            other => other.generation() != ready,
        };
        let permit = match self.concurrency() {
            None => None,
            Some(semaphore) => tokio::select! {
                biased;
                permit = self.permit(semaphore, within) => Some(permit?),
                // Without a permit there is no work, though it may be open again by now.
                gone = status.wait_for(is_gone) => {
                    let status = gone.map_or(Status::Idle, |status| status.clone());
                    return Err(WorkError::NotReady { status });
                }
            },
        };
        // It may have been closed meanwhile.
        let pool = self.get().ok_or_else(not_ready)?;
        Ok(Work {
            pool,
            _permit: permit,
        })
    }

    async fn permit(
        &self,
        semaphore: &Semaphore,
        within: Duration,
    ) -> Result<OwnedPermit, WorkError> {
        let deadline = self.now() + within.min(steadfast_sync::MAX_DURATION);
        let permit = semaphore.acquire_owned_until(1, deadline).await;
        permit.map_err(|source| WorkError::Busy { source })
    }
}

impl<P> Deref for Work<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.pool
    }
}
