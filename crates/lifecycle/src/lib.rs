//! Dependency-ordered start, rollback, health, signals, drain and reverse stop of an application's
//! services.
//!
//! For: the top of a program that consists of parts which need each other. Each part is a
//! [`Service`]; a [`Lifecycle`] checks how they depend on each other, starts them, watches over
//! them, restarts what failed if that is wanted, and stops them, also when something fails
//! half-way. Not for: supervising child processes.
//!
//! # Guarantees
//!
//! - The whole graph is checked before anything starts: circles, missing and double services.
//! - Services start dependencies first, ties in the order of registration, and one at a time
//!   unless [more are allowed](LifecycleBuilder::parallel_starts): the order is then the same every
//!   time.
//! - `stop` is called exactly once for every `start` that was entered, dependants first, past
//!   errors, panics and time limits, one at a time. No service is started while another is being
//!   stopped, and a service is probed only between its start and its stop.
//! - A start either ends with every required service up, or with everything stopped again and an
//!   error that names the culprit and what became of each in the rollback.
//! - Start → stop → start works, as often as you like; concurrent starts join, concurrent stops
//!   join, a stop during a start gives it up.
//! - A service with a [`RestartPolicy`] that fails is stopped after what requires it and started
//!   again before it, after a random delay and only so often in a span of time; then it has failed
//!   for good. Whoever only wants it goes on.
//! - A required service that fails for good stops the application with an error that names it; an
//!   optional one is left failed, and what requires it is stopped and skipped.
//! - Every call of a service has a time limit; a start as a whole has one too.
//! - Reading the [`Snapshot`] takes no lock and never waits for a service.
//! - A service that fails several times in a row, in its starts, its stops, its probes or by its own
//!   report, raises one [`Alert`], and one more when a probe finds it well again.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `mocks` | mockall doubles of the ports |
//! | `systemd` | `Systemd`: tells systemd READY, STOPPING and WATCHDOG |
//! | `test-util` | scripted services, signals raised by hand, and the conformance suite of the ports |
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use async_trait::async_trait;
//! use steadfast_lifecycle::{
//!     Health, Lifecycle, Service, ServiceError, ServiceSpec, StartContext, Status, StopContext,
//! };
//!
//! struct Part(ServiceSpec);
//!
//! #[async_trait]
//! impl Service for Part {
//!     fn spec(&self) -> ServiceSpec { self.0.clone() }
//!     async fn start(&self, _: StartContext) -> Result<(), ServiceError> { Ok(()) }
//!     async fn stop(&self, _: StopContext) -> Result<(), ServiceError> { Ok(()) }
//!     async fn health(&self) -> Health { Health::healthy() }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app = Lifecycle::builder()
//!     .service(Arc::new(Part(ServiceSpec::new("http").requires("database"))))
//!     .service(Arc::new(Part(ServiceSpec::new("database"))))
//!     .build()?;
//! let handle = app.handle();
//! let operator = async {
//!     handle.subscribe().wait_for(|now| now.is_ready()).await.unwrap();
//!     handle.request_stop(); // or SIGTERM
//! };
//! let (report, ()) = tokio::join!(app.run_until_stopped(Duration::from_millis(5)), operator);
//! let report = report?;
//! let names: Vec<_> = report.services.iter().map(|service| &*service.name).collect();
//! assert_eq!(names, ["http", "database"]);
//! assert_eq!(handle.snapshot().status, Status::Stopped);
//! # Ok(())
//! # }
//! ```

mod adapters;
mod alert;
mod board;
mod builder;
mod call;
mod context;
mod error;
mod failure;
mod graph;
mod handle;
mod health;
mod lifecycle;
mod ports;
mod published;
mod report;
mod restart;
mod run;
mod run_until_stopped;
mod runner;
mod signal;
mod snapshot;
mod spec;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

#[cfg(all(unix, feature = "systemd"))]
pub use adapters::Systemd;
#[cfg(unix)]
pub use adapters::UnixSignals;
pub use alert::{ALERT_BUFFER, Alert};
pub use builder::LifecycleBuilder;
pub use context::{StartContext, StopContext};
pub use error::{BuildError, Fault, RunError, ServiceError, StartError, StopError};
pub use failure::FailureReporter;
pub use handle::LifecycleHandle;
pub use health::{Health, HealthStatus};
pub use lifecycle::Lifecycle;
#[cfg(any(test, feature = "mocks"))]
pub use ports::{MockService, MockSignalSource};
pub use ports::{Service, SignalSource};
pub use report::{ServiceStart, ServiceStop, StartOutcome, StartReport, StopReport};
pub use restart::RestartPolicy;
pub use runner::CANCEL_GRACE;
pub use signal::Signal;
pub use snapshot::{ServiceSnapshot, ServiceState, Snapshot, Status};
pub use spec::ServiceSpec;
