//! Fakes of the ports, and the suite that every [`History`](crate::History) must pass.
//!
//! Feature `test-util`.

mod conformance;
mod fakes;

pub use conformance::history_conformance;
pub use fakes::{DurableHistory, OpenAuthorizer, TokenAuthenticator};
