//! In-memory stores, fakes of the other ports, and the conformance suites that every store must
//! pass.

mod fake_jobs;
mod fake_users;
mod memory_store;
mod recording_push;

pub mod conformance;

pub use fake_jobs::FakeJobs;
pub use fake_users::FakeUsers;
pub use memory_store::MemoryStore;
pub use recording_push::{Pushed, RecordingPush};
