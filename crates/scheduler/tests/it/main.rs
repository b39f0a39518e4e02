//! The crate as its users see it.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod cases;
mod clock;
mod contention;
mod control;
mod driver;
mod engine;
mod expressions;
mod faults;
mod fixture;
mod held_store;
mod hostile;
mod invariants;
mod killed;
mod next_five;
mod oracle;
mod plans;
mod postgres;
mod sqlite;
mod stores;
mod stress;
mod zones;
