//! Distributed locks with fencing tokens.
//!
//! For: work that one of many processes is to do at a time, such as a nightly clean-up or the turn
//! of a scheduler. A [`LeaseLock`] takes a lease from a [`LockBackend`], renews it while the work
//! runs and gives it back; an [`Elector`] does so over and over, for work that never ends. Not for:
//! mutual exclusion inside of one process, which `steadfast-sync` has cheaper and without a time
//! limit.
//!
//! # Guarantees
//!
//! - A backend grants a key to one holder at a time. A lease that is not renewed expires by the
//!   backend's clock, and for its holder earlier: from before the request was sent, less the drift
//!   of clocks.
//! - Each grant of a key has a higher *fence* than the one before. No lock that expires can keep a
//!   holder that was asleep from waking up and writing; a target that refuses lower fences than it
//!   has seen can.
//! - The work's token is cancelled on any doubt: when the backend says that the lease is gone, fails
//!   for good or panics, and when it could not be renewed until the margin before its expiry.
//! - The lease is released only after the work has returned, also by an elector that resigns.
//! - Every call of a backend, and every wait for a lease, has a time limit.
//!
//! What the backends add to that:
//!
//! | backend | one holder among | fences grow | time of a lease |
//! |---|---|---|---|
//! | `MemoryBackend` | users of one value | always | its clock |
//! | `SqliteBackend` | processes of one host | always, with `synchronous = FULL` also over a loss of power | the host's monotonic clock (Linux) |
//! | `PostgresBackend` | clients of one server | as far as its commits are durable | the server's time of day |
//! | `RedisBackend` | clients of one primary, unless it loses its data | unless its clock goes back when it loses its data | the server's |
//!
//! Redis is best effort, because it answers before a write is on a disk or a replica: after a
//! restart or a failover without the lease it grants it again while the first holder, until its next
//! renewal, believes that it still has it. Fences grow over that, as they are made of the server's
//! time, and a target that compares them refuses the first holder's late writes. Without such a
//! target, use Redis for work that two may do at once now and then.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `sqlite` | `SqliteBackend`, leases among the processes of one host, `fence_sqlite`, which refuses late writes, and their `MIGRATIONS` |
//! | `postgres` | `PostgresBackend`, leases among the clients of one server, `fence_postgres`, which refuses late writes, and their `MIGRATIONS` |
//! | `redis` | `RedisBackend`, leases among the clients of one server, best effort |
//! | `mocks` | a mockall double of the port |
//! | `test-util` | a backend with scripted faults, and the conformance suite of the port |
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use steadfast_lease::{LeaseLock, MemoryBackend};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = Arc::new(MemoryBackend::new());
//! let lock = LeaseLock::builder(backend.clone(), "nightly", "host-1").build()?;
//! let rival = LeaseLock::builder(backend, "nightly", "host-2").build()?;
//!
//! let swept = lock
//!     .run(async |cx| {
//!         assert!(rival.try_run(async |_| ()).await.unwrap().is_none(), "it is held");
//!         for _row in 0..3 {
//!             cx.check()?; // before each side effect; send cx.fence() along
//!         }
//!         Ok::<_, steadfast_lease::LeaseLost>(3)
//!     })
//!     .await??;
//! assert_eq!(swept, 3);
//! assert!(rival.try_run(async |_| ()).await?.is_some(), "it is free again");
//! # Ok(())
//! # }
//! ```

mod adapters;
mod builder;
mod caught;
mod context;
mod elector;
mod error;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod fence;
mod grant;
mod guarantees;
mod lease_lock;
mod ports;
mod renewal;
mod spread;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use adapters::MIGRATIONS;
pub use adapters::MemoryBackend;
#[cfg(feature = "postgres")]
pub use adapters::PostgresBackend;
#[cfg(feature = "redis")]
pub use adapters::RedisBackend;
#[cfg(feature = "sqlite")]
pub use adapters::SqliteBackend;
pub use builder::{LeaseLockBuilder, MAX_NAME_BYTES};
pub use context::LeaseContext;
pub use elector::{Elector, ElectorBuilder, ElectorState, WhenWorkReturns};
pub use error::{BackendError, BuildError, LeaseError, LeaseLost, LossReason, StillStopping};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use fence::FenceError;
#[cfg(feature = "postgres")]
pub use fence::fence_postgres;
#[cfg(feature = "sqlite")]
pub use fence::fence_sqlite;
pub use grant::{Grant, MAX_TTL};
pub use guarantees::{Fencing, Guarantees, Scope};
pub use lease_lock::LeaseLock;
pub use ports::LockBackend;
#[cfg(any(test, feature = "mocks"))]
pub use ports::MockLockBackend;
