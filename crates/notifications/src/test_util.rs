//! In-memory stores, fakes of the other ports, and the conformance suites that every store must
//! pass.

mod fake_jobs;
mod fake_secrets;
mod fake_users;
mod memory_store;
mod recording_push;
mod recording_sender;

pub mod conformance;

pub use fake_jobs::FakeJobs;
pub use fake_secrets::FakeSecrets;
pub use fake_users::FakeUsers;
pub use memory_store::MemoryStore;
pub use recording_push::{Pushed, RecordingPush};
pub use recording_sender::RecordingSender;
