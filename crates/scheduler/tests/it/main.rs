//! The crate as its users see it.

mod cases;
mod engine;
mod expressions;
mod faults;
mod fixture;
mod held_store;
mod invariants;
mod oracle;
mod stores;
mod zones;
