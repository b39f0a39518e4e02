//! A fake of the port and the conformance suite, for tests of this crate and of its users.

pub mod conformance;
mod faulty;

pub use faulty::{Fault, FaultyBackend};
