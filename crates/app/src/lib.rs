//! Steadfast: a self-hosted service for scheduled notifications and realtime push.
//!
//! This crate composes the others into one binary. It holds what only the composed service needs:
//! [`config`], [`accounts`], the [`adapters`] that join the crates' ports to each other and to SQL,
//! the [`http`] API, and the [`services`] that start and stop in order. Nothing here is meant to be
//! used by another project: cherry-pick the crates below instead.

/// Prints a line for whoever started the process. Unlike `println!` it does not panic where nobody
/// reads it any more.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

pub mod accounts;
pub mod adapters;
pub mod alerts;
pub mod audit;
pub mod cli;
pub mod config;
pub mod http;
mod network;
pub mod services;
pub mod telemetry;
