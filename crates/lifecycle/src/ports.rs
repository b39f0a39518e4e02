//! The traits that others implement.

use async_trait::async_trait;

use crate::{Health, ServiceError, ServiceSpec, Signal, StartContext, StopContext};

/// One part of an application that is started, watched and stopped by a
/// [`Lifecycle`](crate::Lifecycle).
///
/// The lifecycle calls `start` at most once a run, and again for each restart, and `stop` exactly
/// once for every `start` that was entered, whether that start returned, failed, panicked, timed
/// out or was given up. It never calls one of the two while the other is at work.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// The service's name, dependencies, time limits and restart policy; read once, when the
    /// lifecycle is built.
    fn spec(&self) -> ServiceSpec;

    /// Makes the service ready for its dependants and returns; long-running work goes on in the
    /// background, in tasks that the service owns.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await: when its time is up, and when the start is given
    /// up and it has not returned within [`CANCEL_GRACE`](crate::CANCEL_GRACE). `stop` is then
    /// called and must find everything that is to be released.
    ///
    /// # Errors
    ///
    /// Whatever keeps the service from being ready.
    async fn start(&self, cx: StartContext) -> Result<(), ServiceError>;

    /// Releases everything that `start` took, also after a start that did not finish, so that a
    /// later `start` works again.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the service's stop timeout is over.
    ///
    /// # Errors
    ///
    /// Whatever kept the service from releasing all of it. The stop of the others goes on.
    async fn stop(&self, cx: StopContext) -> Result<(), ServiceError>;

    /// How the running service is; must not block.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the probe's time is up or the stop of the service has begun.
    async fn health(&self) -> Health;
}

/// Where requests of the operating system to terminate come from.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait SignalSource: Send + Sync {
    /// Waits for the next signal; pending for ever if there will be none.
    ///
    /// # Cancel safety
    ///
    /// An implementation must be cancel safe: a signal is lost neither before the first call, nor
    /// between two calls, nor by dropping the future.
    async fn next(&mut self) -> Signal;
}
