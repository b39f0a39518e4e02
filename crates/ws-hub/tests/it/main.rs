//! The hub from outside: clients speak the protocol over real sockets, or over pipes in memory
//! where time is paused.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy exempts only functions marked as tests"
)]

mod chaos;
mod client;
mod connecting;
mod defects;
mod evicting;
mod history;
mod ports;
mod publishing;
mod recovering;
mod repairing;
mod serving;
mod stopping;
mod subscribing;
