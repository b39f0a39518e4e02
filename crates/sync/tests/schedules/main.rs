//! Exploration of schedules: `cargo xtask test sync --schedules`. See `docs/verification.md`.

#![cfg(any(steadfast_loom, steadfast_shuttle))]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

#[cfg(steadfast_loom)]
mod loom_models;
#[cfg(not(steadfast_loom))]
mod shuttle_checks;
