//! Retention, erasure and compliance of personal data: rules and ports, no SQL, no HTTP.
//!
//! For: a service that keeps records about people and must not keep them for ever. A
//! [`RetentionPolicy`] says for how many days each kind of record is kept; [`Privacy::cleanup`]
//! deletes what is older, and [`Privacy::compliance`] measures how far that is so. [`Erasures`]
//! takes the requests of users to be erased, and [`Privacy::erase`] carries them out. Not for:
//! deciding what a law wants. A report has figures and findings, and no verdict.
//!
//! # Guarantees
//!
//! - One entry point and one lock for each operation, whoever asks: the schedule, the API, the
//!   command line. The lock is a lease (`steadfast-lease`), so it holds between processes as far
//!   as its backend does. A run that meets another is stored as skipped.
//! - The runs are in a log: each run as it begins, each policy's outcome as it is known, the end.
//!   Partial failure is failure.
//! - Policies are stored, changed within caps, versioned, and read again before each batch: a legal
//!   hold that is set while a cleanup is at work stops it there.
//! - Deletion takes small batches, with pauses that grow with what a batch costs; a policy under
//!   legal hold deletes nothing.
//! - An erasure goes on after a crash at any point, counts every row once in its receipt, and is
//!   remembered outside of the database, so that the restore of a backup does not undo it.
//! - Every figure of a report is measured from the rows.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `mocks` | mockall doubles of the ports |
//! | `openapi` | `utoipa` schemas of what is written as JSON |
//! | `test-util` | the stores in memory, and the conformance suites that every store must pass |
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "test-util")] {
//! use std::sync::Arc;
//! use steadfast_lease::MemoryBackend;
//! use steadfast_privacy::{
//!     Privacy, Records, RunStatus, Trigger,
//!     test_util::{MemoryPolicies, MemoryRetention, MemoryRunLog},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryRetention::new());
//! store.plant(Records::Sessions, jiff::Timestamp::UNIX_EPOCH);
//! let log = Arc::new(MemoryRunLog::new());
//! let policies = Arc::new(MemoryPolicies::new());
//! let locks = Arc::new(MemoryBackend::new());
//! let privacy = Privacy::builder(store, log, policies, locks).build()?;
//!
//! let run = privacy.cleanup(Trigger::Cli).await?;
//! assert_eq!(run.status, RunStatus::Succeeded);
//! let deleted: u64 = run.policies.iter().map(|policy| policy.deleted).sum();
//! assert_eq!(deleted, 1);
//! # Ok(()) }
//! # main().unwrap();
//! # }
//! ```

mod builder;
mod cleanup;
mod compliance;
mod erasure;
mod erasure_ports;
mod erasure_run;
mod erasures;
mod error;
mod policies;
mod policy;
mod ports;
mod privacy;
mod records;
mod report;
mod run;
mod stamps;

#[cfg(any(test, feature = "test-util"))]
pub mod test_util;

pub use builder::PrivacyBuilder;
pub use cleanup::{MAX_PAUSE, PAUSE_FACTOR};
pub use erasure::{ErasedRows, Erasure, ErasureId, ErasureStatus, Receipt, Tombstone};
pub use erasure_ports::{CodeHash, Connections, ErasureStore, PersonalData, TombstoneLog};
#[cfg(any(test, feature = "mocks"))]
pub use erasure_ports::{MockConnections, MockErasureStore, MockPersonalData, MockTombstoneLog};
pub use erasures::{ERASURE_GRACE, Erasures, MAX_ERASURES, STRAGGLERS};
pub use error::{BuildError, ErasureError, PortError, PrivacyError};
pub use policies::PolicySnapshot;
pub use policy::{ChangedBy, PolicyChange, PolicyPatch, RetentionPolicy};
#[cfg(any(test, feature = "mocks"))]
pub use ports::{MockPolicyStore, MockRetentionStore, MockRunLog};
pub use ports::{PolicyStore, RetentionStore, RunLog};
pub use privacy::{MAX_DURATION, MAX_RUNS, Privacy};
pub use records::{Records, UnknownRecords};
pub use report::{ComplianceReport, Finding, PolicyMeasurement};
pub use run::{Operation, PolicyOutcome, PolicyStatus, Run, RunId, RunStatus, Trigger};
