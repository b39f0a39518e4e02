//! Fakes of the ports and the conformance suite, for tests of this crate and of its users.

pub mod conformance;
mod manual_signals;
mod scripted_service;

pub use manual_signals::{ManualSignals, SignalSender};
pub use scripted_service::{Event, Journal, ScriptedService, Step};
